"""Mutation tests of the executor. Each mutant is a small change of the code that at least one test must detect."""
