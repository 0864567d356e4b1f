"""Functions that a trainer imports: reward functions over a running service. They need httpx and pydantic only."""
