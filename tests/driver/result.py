"""How one tier went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Result:
    """How one tier went. ``problem`` is why it did not run, or what failed that no test tells of."""

    tier: str
    passed: int = 0
    failed: int = 0
    unsteady: int = 0
    """Of those that passed: at the second try only."""
    skipped: int = 0
    seconds: float = 0
    problem: str = ""
    not_run: bool = False
