"""Alerts to people: the text of messages, the outbox that stores them, and the channels that send them.

An alert is stored in the outbox in the same transaction as the event it reports. The first process that is free
delivers it later. So neither a crash nor a second daemon loses or repeats an alert.
"""
