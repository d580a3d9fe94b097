"""Reconciliation: comparing the exchange's account with the journal, and resolving orders of unknown outcome.

A reconciliation compares orders, fills, settlements and positions, and finds orders that the journal does not have. An
unknown outcome is resolved by a fence, a wait for the exchange's reads and a complete sweep. The only write to the
exchange is the trigger of an order group; no order is ever sent again. Decisions about new orders do not belong in this
package.
"""
