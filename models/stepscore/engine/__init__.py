"""Engines: they run the forward passes, all with one protocol."""
