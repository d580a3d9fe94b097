"""Environment variables: where they come from, which value wins, and how they must be written.

The process environment beats ``.env``, for every entry point. This package imports nothing of the other packages.
"""
