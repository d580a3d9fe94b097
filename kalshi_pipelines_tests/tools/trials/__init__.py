"""Randomized trials of the executor with killed processes, real sockets and a misbehaving exchange.

* ``plans`` draws a trial from a seed.
* ``life`` trades in a process until the process is killed.
* ``truth`` reads the log of the exchange itself.
* ``bars`` compares the journal with the log of the exchange.
* ``runner`` runs trials one after another.
"""
