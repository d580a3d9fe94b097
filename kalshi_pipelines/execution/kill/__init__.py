"""The kill switch: stopping every new risk, cancelling what rests, and proving that nothing is left.

Engaging works with the journal down; nothing here waits for a cap, and nothing here stops a cancel. Releasing is a
person's decision.
"""
