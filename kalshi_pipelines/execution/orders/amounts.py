"""Prices, money and counts as people write them, for checks, denials and reports. What is stored stays integers."""

from kalshi_pipelines.units import MICRODOLLARS_PER_CENTICENT, contracts, dollars


def money(microdollars: int) -> str:
    """Dollars, with cents and as many more digits as there are: ``$4.10``, ``$0.0175``, ``-$3.00``."""
    whole, _, fraction = f"{dollars(abs(microdollars)):,f}".partition(".")
    return f"{'-' if microdollars < 0 else ''}${whole}.{fraction.rstrip('0'):0<2}"


def price(centicents: int) -> str:
    """The price of a contract: ``$0.56``, ``$0.5625``."""
    return money(centicents * MICRODOLLARS_PER_CENTICENT)


def count(centicontracts: int) -> str:
    """A number of contracts: ``1,000.00 contracts``."""
    return f"{contracts(centicontracts):,f} contracts"
