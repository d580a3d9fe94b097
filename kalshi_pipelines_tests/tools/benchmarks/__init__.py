"""``make bench``: speed and memory of the pipelines, compared with a minimal program that runs at the same time.

The minimal program does the same work without checks.
"""
