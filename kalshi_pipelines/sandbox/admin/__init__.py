"""Admin routes that control the sandbox. They are not part of the exchange's API, and need no signature and no
tokens.
"""
