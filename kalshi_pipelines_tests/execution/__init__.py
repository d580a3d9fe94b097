"""Tests of trading, with a folder for each package of ``kalshi_pipelines.execution``."""
