"""What the exchange knows, held against what the journal knows: the only way an unknown outcome becomes known.

Fence, watermark, complete sweep; fills, settlements, positions and orders of others. Nothing is ever sent again here:
the one write is the trigger of an order group. Deciding about new orders does not belong here.
"""
