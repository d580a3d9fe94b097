"""Tests of the kill switch."""
