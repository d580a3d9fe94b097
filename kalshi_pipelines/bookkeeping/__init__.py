"""Bookkeeping of every ingest: run records, the quarantine, record digests and provenance stamps.

Belongs here: accounts of an ingest that fit every kind of record. Does not belong here: knowledge of markets, of news
or of any vendor.
"""
