"""Tests of trading: one folder for each room of ``kalshi_pipelines.execution``."""
