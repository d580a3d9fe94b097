"""The kill switch: it stops new orders, cancels resting orders, and proves that no order rests.

The switch can be engaged while the journal is down. No cap delays a halt, and no code in this package stops a cancel.
Only a person releases the switch.
"""
