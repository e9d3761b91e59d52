"""Outcomes to fitted statistics: pure functions, given the same data and seed they return the same."""
