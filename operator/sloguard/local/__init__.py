"""The same study on one machine: vLLM as a child process."""
