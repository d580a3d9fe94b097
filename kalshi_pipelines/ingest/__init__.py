"""Ingest of series, events, markets, quotes and orderbooks: pages of the exchange become rows of the warehouse.

Pages are stored one by one while the next page is downloaded. New history rows are then exported to the lake.
"""
