"""Trading sessions: their registration, the proposals they select, and the text of their decisions."""
