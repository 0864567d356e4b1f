"""How checkpoints that ship with the project were made."""
