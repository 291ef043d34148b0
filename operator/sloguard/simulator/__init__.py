"""A stand-in for vLLM on a GPU: same flags, API, metrics, messages and exits; no GPU."""
