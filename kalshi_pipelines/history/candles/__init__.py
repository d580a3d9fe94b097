"""Candlesticks of whole days: which markets are asked for, on which side of the exchange, and how a day is published.

A day is a calendar day in New York, because the exchange's daily candlesticks end at midnight there. A candlestick
belongs to the day in which its period ends; the one that ends at midnight belongs to the day before.
"""
