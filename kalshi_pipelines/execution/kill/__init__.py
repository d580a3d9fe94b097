"""The kill switch: it stops new orders, cancels resting orders, and proves that no order rests.

The switch can be engaged while the journal is down. The caps on trading do not apply to a halt, and no code in this
package refuses a cancel. Only a person releases the switch.
"""
