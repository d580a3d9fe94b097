"""``make bench``: speed and memory of the pipelines, compared with a floor that is measured in the same run.

The floor is a minimal program that does the same work without checks.
"""
