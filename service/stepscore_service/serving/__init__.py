"""Scoring and reranking over the models that a process holds."""
