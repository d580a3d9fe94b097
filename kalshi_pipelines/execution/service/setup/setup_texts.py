"""The variables that a live session needs: what each one is for, and an example of its value.

Secrets are never among the examples: the trade key is in a file, and only the file's path is a setting.
"""

from collections.abc import Iterable
from typing import Final

from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.settings import Environment, Settings

#: The purpose of each variable, with an example of its value.
VARIABLES: Final = {
    "KALSHI_SANDBOX_URL": (
        "the address of a running sandbox exchange, which `python -m kalshi_pipelines.sandbox` prints",
        "http://127.0.0.1:8765",
    ),
    "KALSHI_TRADE_MODE": ("`live` sends orders; without it every session is a dry run", "live"),
    "KALSHI_TRADE_API_KEY_ID": (
        "the id of the trade key, a UUID from the exchange's API keys page",
        "00000000-0000-4000-8000-000000000000",
    ),
    "KALSHI_TRADE_PRIVATE_KEY_FILE": ("the PEM file of the trade key, with mode 0600", "~/kalshi-trade.pem"),
    "KALSHI_TRADE_URL": ("the address that orders are sent to; it has no default, so that you choose it", ""),
    "KALSHI_TRADE_SERIES": (
        "the series that may be traded, separated by commas; `*` allows all",
        "KXSERIES1,KXSERIES2",
    ),
    "KALSHI_TRADE_PRODUCTION": ("your consent to trade real money", "i-trade-real-money"),
    "KALSHI_TRADE_ARM": ("a token of the `arm` command, which opens one live session within a limited time", ""),
}


def export_line(settings: Settings, name: str) -> str:
    """Return the shell command that sets a variable, with an example of the value."""
    example = VARIABLES[name][1]
    if name == "KALSHI_TRADE_URL":
        example = _address(settings)
    quoted = f"'{example}'" if set(example) & set("*~ ") and not example.startswith("~/") else example
    return f"export {name}={quoted}"


def missing_texts(names: Iterable[str]) -> str:
    """Return a sentence for each variable that is not set, which says what the variable is for."""
    return " ".join(f"{name} is not set: {VARIABLES[name][0]}." for name in names)


def _address(settings: Settings) -> str:
    """Return an address that orders may be sent to in the configured environment."""
    if settings.environment is Environment.SANDBOX:
        return settings.sandbox_url or VARIABLES["KALSHI_SANDBOX_URL"][1]
    return hosts.base_urls(settings.environment)[0]
