"""The language of contracts: declarations, vendor answers, and the differences that a comparison reports."""
