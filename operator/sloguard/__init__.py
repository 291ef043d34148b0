"""SLO-Guard finds vLLM settings that serve more within your latency SLOs, and brings them to production safely."""

__version__ = "0.1.0"
