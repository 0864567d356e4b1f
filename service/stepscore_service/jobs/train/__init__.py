"""Step labels in, a checkpoint that the service reads unchanged out."""
