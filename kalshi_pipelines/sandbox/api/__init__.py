"""The endpoints of the exchange's API: reading requests, and writing answers as the exchange writes them.

What happens to orders and money is decided in ``trading``, which markets there are in ``markets``.
"""
