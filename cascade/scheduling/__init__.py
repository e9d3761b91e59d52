"""Decide what runs next on which lane, without clock, thread or lock."""
