"""The HTTP application: parse, call `serving`, shape the answer."""
