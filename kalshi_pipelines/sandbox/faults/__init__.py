"""The exchange on a bad day: which requests are to go wrong, and what then becomes of them and their answers."""
