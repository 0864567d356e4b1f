"""Labelled rows and the file formats that hold them."""
