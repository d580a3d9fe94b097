"""Markets of the exchange: the catalogue (generated or recorded), prices, life cycle and simulated traders.

The module ``venue`` connects these markets with the matching engine.
"""
