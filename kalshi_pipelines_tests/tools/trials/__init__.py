"""Randomized trials of the executor: real processes that are killed, real sockets, a misbehaving exchange.

``plans`` makes a trial of a seed, ``life`` is what a process does until it is killed, ``truth`` reads the log of the
exchange itself, ``bars`` holds journal and truth against each other, ``runner`` runs trials one after another.
"""
