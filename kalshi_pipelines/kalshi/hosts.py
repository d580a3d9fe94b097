"""Allowed addresses of the API in each environment.

The list is hard-coded on purpose. A typing error in a setting must never send a signed request to a stranger or to the
wrong exchange. Paths of requests do not belong here.
"""

import ipaddress
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

from kalshi_pipelines.kalshi.errors import EnvironmentMismatch
from kalshi_pipelines.settings import Environment

API_ROOT: Final = "/trade-api/v2"

# These hosts are from docs.kalshi.com, October 2026. The recommended host of each environment comes first. The domain
# of demo is .co, not .com.
_HOSTS: Final = {
    Environment.PROD: ("external-api.kalshi.com", "api.elections.kalshi.com"),
    Environment.DEMO: ("external-api.demo.kalshi.co", "demo-api.kalshi.co"),
}


def base_url(environment: Environment, url: str | None = None, setting: str = "") -> str:
    """Return the address of the API, ending in ``/trade-api/v2``.

    Args:
        environment: The environment to which the address must belong.
        url: The configured address; None for the recommended address of the environment.
        setting: The environment variable from which ``url`` was read, if it is not ``KALSHI_SANDBOX_URL``.

    Raises:
        EnvironmentMismatch: The address does not belong to the environment, or the sandbox has no address.
    """
    if environment is Environment.SANDBOX:
        return _sandbox_url(url, setting)
    if url is None:
        return f"https://{_HOSTS[environment][0]}{API_ROOT}"
    parts = _split(environment, url, setting)
    if parts.scheme != "https" or parts.netloc not in _HOSTS[environment]:
        _refuse(environment, url, setting)
    return f"https://{parts.netloc}{API_ROOT}"


def base_urls(environment: Environment) -> tuple[str, ...]:
    """Return all allowed addresses of demo or production, the recommended address first; empty for the sandbox."""
    return tuple(f"https://{host}{API_ROOT}" for host in _HOSTS.get(environment, ()))


def _sandbox_url(url: str | None, setting: str) -> str:
    if url is None:
        raise EnvironmentMismatch(
            "The sandbox has no address.",
            "Set KALSHI_SANDBOX_URL to the address of a running sandbox, or let the run start its own sandbox.",
        )
    parts = _split(Environment.SANDBOX, url, setting)
    if parts.scheme != "http" or not _is_loopback(parts.hostname):
        _refuse(Environment.SANDBOX, url, setting)
    return f"http://{parts.netloc}{API_ROOT}"


def _split(environment: Environment, url: str, setting: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse(environment, url, setting)
    del port
    extra = parts.query or parts.fragment or parts.username or parts.password
    if extra or parts.path.rstrip("/") not in ("", API_ROOT):
        _refuse(environment, url, setting)
    return parts


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _refuse(environment: Environment, url: str, setting: str) -> NoReturn:
    if environment is Environment.SANDBOX:
        name = setting or "KALSHI_SANDBOX_URL"
        accepted = f"Set {name} to an http:// address of this computer, such as http://127.0.0.1:8765"
    else:
        accepted = (f"Set {setting} to " if setting else "Use ") + " or ".join(
            f"https://{host}{API_ROOT}" for host in _HOSTS[environment]
        )
    # The message names only the host, because a mistyped address may hold a password.
    host = urlsplit(url).hostname if "@" not in url and "://" in url and "[" not in url else None
    raise EnvironmentMismatch(
        f"The address of {host or 'the exchange'} does not belong to the environment {environment.value}.",
        f"{accepted}.",
    )
