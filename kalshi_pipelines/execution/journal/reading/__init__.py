"""Readings of the journal, one file per subject. Nothing here changes a row."""
