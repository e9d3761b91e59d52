"""What happened: counters behind a predictor's statistics."""
