"""Load generation, goodput and vLLM's metrics."""
