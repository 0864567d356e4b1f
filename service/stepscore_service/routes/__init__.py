"""HTTP routes, one file for each wire format."""
