"""The commands of `stepscore`: one file each, and what they share."""
