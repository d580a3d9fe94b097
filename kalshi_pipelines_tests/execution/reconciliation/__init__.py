"""Tests of reconciliation against a running sandbox and its faults."""
