"""The command line ``kalshi-pipelines``: what a person does with the warehouse and the lake as a whole.

Belongs here: arguments, messages and exit statuses. Does not belong here: what a command does, which is a function of
``warehouse``, ``lake`` or ``upkeep``. Jobs that read from vendors are started through Dagster.
"""
