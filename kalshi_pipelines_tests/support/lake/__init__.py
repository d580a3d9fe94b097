"""Support for tests of the lake: lakes in folders, history rows, and plain readers."""
