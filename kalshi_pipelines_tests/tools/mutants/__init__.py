"""Mutation tests of the executor. A mutant is the executor with one small change, which some test has to notice."""
