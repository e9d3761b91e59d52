"""The request path: lanes, the walk of one request through the stages, and batches with compaction."""
