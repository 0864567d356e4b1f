"""Verifiers: they check final answers."""
