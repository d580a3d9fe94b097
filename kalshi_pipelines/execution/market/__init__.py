"""What is read of the exchange before an order: exact, with the time it was asked for. Nothing here writes."""
