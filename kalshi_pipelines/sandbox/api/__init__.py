"""Endpoints of the exchange's API: reading requests and writing responses in the exchange's format.

Does not belong here: decisions about orders and money (``trading``), and the lists of markets (``markets``).
"""
