"""Are there tests for every guard? Mutants of the executor, each a small change that some test has to notice."""
