"""Does a change of the vendor reach a person within a day? Simulated days, real HTTP, real warehouse, real receiver."""
