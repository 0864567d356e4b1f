"""Text to tokens, and text to steps."""
