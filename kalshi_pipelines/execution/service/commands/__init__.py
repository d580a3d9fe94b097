"""The commands of the trading command line, one file a subject."""
