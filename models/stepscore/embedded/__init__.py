"""The small checkpoint that ships with the project: what was trained, and how it is put on its base."""
