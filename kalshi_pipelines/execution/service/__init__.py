"""Entry points of trading for people and Dagster: command line, trading sessions, kill switch and audit."""
