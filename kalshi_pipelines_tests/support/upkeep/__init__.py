"""Support code for the tests of upkeep."""
