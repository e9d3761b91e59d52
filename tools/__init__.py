"""Checks of the source tree that no off-the-shelf checker does."""
