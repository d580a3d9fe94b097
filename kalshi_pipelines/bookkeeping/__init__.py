"""Bookkeeping of every ingest: run records, the quarantine, record digests and provenance stamps.

Belongs here: facts about an ingest that are the same for every kind of record. Does not belong here: knowledge of
markets, of news or of any vendor.
"""
