"""A trial of the history: months of trades served over loopback, with faults, and workers that are killed at random.

Afterwards the lake must hold exactly the trades that the tape has.
"""
