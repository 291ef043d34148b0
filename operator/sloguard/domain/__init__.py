"""Outcomes, SLOs and goodput, knobs and arguments, crash classes and evidence: pure functions."""
