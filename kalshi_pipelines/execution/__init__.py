"""The TradeExecutor: the only room that can write orders, and all that keeps it from writing a wrong one.

Rooms, downwards: ``executor`` and ``reconciliation/``, ``kill/``, ``transport/`` and ``gates/``, ``journal/``,
``orders/`` (pure values and arithmetic). Nothing is imported here, so that ``proposals`` can be used without loading
anything that can reach the exchange. Dagster does not belong here.
"""
