"""Admin routes that control the sandbox.

Admin routes are not part of the exchange's API. They need no signature and cost no rate-limit tokens.
"""
