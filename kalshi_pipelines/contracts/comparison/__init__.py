"""Compare an answer with its contract and its baseline."""
