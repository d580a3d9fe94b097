"""Markets of the exchange: the catalogue (generated or recorded), prices, life cycle and simulated traders.

``venue`` connects the markets with the trading side.
"""
