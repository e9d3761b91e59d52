"""Values and rules: pure functions and frozen values, without clock, lock, log, file or torch."""
