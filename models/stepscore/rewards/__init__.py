"""Step rewards as a trainer uses them: shaped, one per token, blended with the outcome, watched for hacking."""
