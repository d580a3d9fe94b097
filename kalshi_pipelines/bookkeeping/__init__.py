"""Bookkeeping of every ingest: run records, the quarantine, record digests and provenance stamps.

Belongs here: records about reading, whatever is read. Does not belong here: knowledge of markets, news or any vendor.
"""
