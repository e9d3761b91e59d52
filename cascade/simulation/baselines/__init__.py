"""Published rules for serving a ladder of models, to compare with: each decides what `Scheduler` decides, on the same engine."""
