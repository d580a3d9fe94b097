"""News about markets as assets, with their checks, job and schedule."""
