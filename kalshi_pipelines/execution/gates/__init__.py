"""The checks that decide whether an order may be sent.

If a check fails, the order is denied, and the check's code is the reason. A check also fails if its input is missing or
cannot be read. Caps are not checked in this package, because the journal's database enforces them.
"""
