"""The checks that decide whether an order may be sent. The code of a check is the reason of its denial.

A check fails if its input is missing or cannot be read. The caps are not here: the journal's database enforces them.
"""
