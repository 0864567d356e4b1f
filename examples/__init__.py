"""Whole loops that a user can copy."""
