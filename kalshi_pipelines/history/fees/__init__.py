"""Fees by time: the fee changes of series and events, and the fee of each trade with the fees of its own moment."""
