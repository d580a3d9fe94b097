"""Tests of the TradeExecutor."""
