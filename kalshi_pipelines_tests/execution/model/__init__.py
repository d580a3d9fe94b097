"""The executor against a model of the exchange, in every order of events that Hypothesis can think of."""
