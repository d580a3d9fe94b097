"""Entry points for people and Dagster: the command line, trading sessions, the kill switch and the audit."""
