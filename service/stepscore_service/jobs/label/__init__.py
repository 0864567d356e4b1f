"""Labelling: from problems whose answer is known to a label for each step."""
