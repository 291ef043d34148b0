"""The specification: what a user writes and what the system reports, as pydantic models. Imports nothing of ours."""
