"""An engine in a process of its own: one for each GPU."""
