"""Families: one file each, found by name."""
