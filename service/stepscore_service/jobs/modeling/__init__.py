"""What `train` and `update` share: bases, outputs, objectives, batches, and the checkpoints that they write."""
