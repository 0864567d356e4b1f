"""A picture of scored solutions that nobody has labelled: one page of HTML."""
