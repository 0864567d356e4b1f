"""Formats of labelled data: one file each, all yield `Labelled`."""
