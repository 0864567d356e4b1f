"""Rows that a model scores or reranks, and what is made of them: a view in the terminal, a report."""
