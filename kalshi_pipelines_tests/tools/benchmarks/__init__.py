"""``make bench``: ingest speed and memory beside a floor measured in the same run, as ratios."""
