"""Published formats of step-labelled data."""
