"""Generators: ways to sample from a language model, behind one protocol."""
