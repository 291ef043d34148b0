"""Search space and samplers: from what is known to the next parameters."""
