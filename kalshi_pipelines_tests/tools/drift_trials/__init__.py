"""Trials that a change of the vendor reaches a person within a day.

The days are simulated. HTTP, the warehouse and the receiver of messages are real.
"""
