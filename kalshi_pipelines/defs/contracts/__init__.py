"""Contract checks of vendor endpoints as assets and asset checks, with the sensors that start them and send alerts."""
