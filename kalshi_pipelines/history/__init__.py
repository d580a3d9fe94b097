"""History of the exchange, read backwards from today: complete days, each read window by window and published whole.

A day is read from the live side or the historical side of the exchange, or from both. Its rows are kept on this
computer until the whole day is read. Then the day's file in the lake is replaced in one step.
"""
