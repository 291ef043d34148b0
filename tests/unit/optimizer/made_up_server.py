"""A server whose truth is a formula: it runs out of memory above a line and serves the more, the nearer it comes."""

import math

from sloguard.api.v1alpha1 import KnobName, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_optimizer, make_space

K = KnobName
SPACE = make_space(SearchSpace(), {}, Context(min_model_len_tokens=2048))


def served(number, values):
    """Crashes by memory; the SLO is broken by batches above 8192 tokens; eager serves half."""
    need = values[K.GPU_MEMORY_UTILIZATION] + math.log2(values[K.MAX_NUM_SEQS]) / 40
    if need > 1.1:
        return Result(number, values, Outcome.CRASHED)
    seqs = values[K.MAX_NUM_SEQS] * (0.5 if values[K.ENFORCE_EAGER] else 1)
    ratio = values[K.MAX_NUM_BATCHED_TOKENS] / 8192
    outcome = Outcome.FEASIBLE if ratio <= 1 else Outcome.INFEASIBLE
    return Result(number, values, outcome, objective=seqs, violation_ratios=(ratio,))


def search(name, seed, trials):
    optimizer, history = make_optimizer(name, SPACE, seed), []
    for number in range(trials):
        history.append(served(number, optimizer.ask(history, []).parameters))
    return history


def best(history):
    return max((result.objective for result in history if result.outcome is Outcome.FEASIBLE), default=0)


def crashes(history):
    return sum(result.outcome is Outcome.CRASHED for result in history)
