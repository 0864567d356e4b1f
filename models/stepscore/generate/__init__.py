"""Generators: ways to sample from a policy, behind one protocol."""
