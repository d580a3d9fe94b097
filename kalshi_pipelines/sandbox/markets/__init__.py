"""The markets of the exchange: the catalogue, generated or recorded, its prices, its life on the clock, other traders.

``venue`` is where they meet the trading side.
"""
