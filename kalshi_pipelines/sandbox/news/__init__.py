"""The press of the sandbox: stories about what the exchange lists, found by an Exa-shaped search and in feeds.

It knows no HTTP server: what is served, and when it fails, is decided one floor up (``serving_news``).
"""
