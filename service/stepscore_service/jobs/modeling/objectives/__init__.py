"""The objectives: each a small function of the head's numbers and the targets."""
