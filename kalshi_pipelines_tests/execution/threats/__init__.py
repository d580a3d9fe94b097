"""Tests of the threats that the journal itself stops, and of the catalogue of all threats, F01 to F81."""
