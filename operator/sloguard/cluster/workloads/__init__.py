"""The kinds of objects that may serve in production, each behind the same small interface (`workload.py`)."""
