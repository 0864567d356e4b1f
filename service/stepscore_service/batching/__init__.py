"""Dynamic batching: a queue, a pure choice of the next batch, and the thread that runs forwards."""
