"""Prices, money and counts formatted for people, in checks, denials and reports.

Only these texts are formatted; stored values are integers.
"""

from kalshi_pipelines.units import MICRODOLLARS_PER_CENTICENT, contracts, dollars


def money(microdollars: int) -> str:
    """Format an amount of money with at least two decimals: ``$4.10``, ``$0.0175``, ``-$3.00``."""
    whole, _, fraction = f"{dollars(abs(microdollars)):,f}".partition(".")
    return f"{'-' if microdollars < 0 else ''}${whole}.{fraction.rstrip('0'):0<2}"


def price(centicents: int) -> str:
    """Format the price of a contract with at least two decimals: ``$0.56``, ``$0.5625``."""
    return money(centicents * MICRODOLLARS_PER_CENTICENT)


def count(centicontracts: int) -> str:
    """Format a number of contracts with two decimals: ``1,000.00 contracts``."""
    return f"{contracts(centicontracts):,f} contracts"
