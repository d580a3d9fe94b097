"""Entry points of trading for people and Dagster: command line, trading sessions, kill switch and audit.

``cli`` parses the command line. ``commands`` and ``setup`` carry it out with the databases and clients of
``command_context``. ``sessions`` runs trading sessions, ``stopping`` stops all trading, and ``account`` opens the
configured account.
"""
