"""What offline commands and jobs stand on: rows in, a journal out, progress, and how they speak to a person."""
