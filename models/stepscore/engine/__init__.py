"""Engines: they run the forward passes behind one protocol."""
