"""A local exchange that speaks the Kalshi API: it makes the demo, the tests and the benchmarks run anywhere."""
