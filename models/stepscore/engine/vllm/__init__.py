"""vLLM as an engine, in process and against a server."""
