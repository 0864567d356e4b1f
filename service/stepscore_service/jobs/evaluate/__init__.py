"""Evaluation: how good a model's step rewards are, measured on labelled data, with a report."""
