"""From a checkpoint to step rewards: the `Scoring` protocol, its implementations, and `open_scorer` on top."""
