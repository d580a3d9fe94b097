"""The language of contracts: declarations, answers to compare, and the differences a comparison reports."""
