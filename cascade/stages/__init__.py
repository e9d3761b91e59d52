"""How any model becomes a stage: adapters for torch, scikit-learn, plain callables and multi-exit networks."""
