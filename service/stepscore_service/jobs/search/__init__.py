"""Searches over a file of problems: results, traces, pictures."""
