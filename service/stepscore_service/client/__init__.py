"""The client of the service: typed answers, retries, batches; sync and async. httpx and pydantic only."""

from stepscore_service.client.asynchronous import AsyncStepscoreClient
from stepscore_service.client.errors import ServiceError
from stepscore_service.client.follow import AsyncFollower, Follower, StepReward
from stepscore_service.client.synchronous import StepscoreClient

__all__ = ["AsyncFollower", "AsyncStepscoreClient", "Follower", "ServiceError", "StepReward", "StepscoreClient"]
