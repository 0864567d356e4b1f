"""Labelling methods: one file each, found by name in `registry`."""
