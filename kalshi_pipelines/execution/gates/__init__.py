"""Whether an order may go: pure judgements of what was read. A check's code is the reason it denies with.

What was never read, or can not be, is a failed check. The caps are not here: the journal's database enforces them.
"""
