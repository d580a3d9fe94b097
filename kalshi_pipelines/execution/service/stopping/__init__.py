"""The stop of all trading, for the command ``kill`` and the job ``halt_trading``.

These modules import only what stopping needs, so that a stop works when everything else is broken.
"""
