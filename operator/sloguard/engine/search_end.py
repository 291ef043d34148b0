"""When the search stops, and why; and that it goes on where the gate has refused what was found. Pure.

Repeats are made of a candidate, so the search leaves enough trials for them as soon as there is one. While nothing
found may win, it leaves only as many as could still show a clear improvement. Once all candidates are refused, what
the budget has left goes to the search again: the next candidate is contested with what is left of the gate's error,
which is spent over candidates whenever they are found (`domain/contest.py`). Each trial counts against the budget, and
a resumed search ends like the first one, so that a study always ends.
"""

from sloguard.engine import budget
from sloguard.engine.known import Known, SearchEnd

CONFIRMING = SearchEnd("Confirming", "what was found is confirmed by repeats and a soak")
"""The search ended before, and the gate's candidate is not settled yet or has won."""


def search_end(known: Known) -> SearchEnd | None:
    """Why no further configuration is searched now; None where one is."""
    spec, gate = known.study.spec, known.gate
    under_way = any(t.spec.is_repeat for t in known.unfinished)
    found = gate.candidate is not None or gate.winner is not None
    contested = found and known.latest[-1].spec.is_repeat
    if gate.confirmations or contested or under_way:
        return CONFIRMING
    if gate.over:
        message = "so many candidates were refused that a further one which seems better may do so by chance"
        return SearchEnd("CandidatesRefused", message)
    kept = gate.kept if gate.candidate is not None else gate.least_kept
    over = budget.search_over(spec, known.used, kept)
    if not over:
        return None
    return SearchEnd("TrialsUsed" if known.used.trials >= spec.budget.trials - kept else "MinutesUsed", over)


def resumes(known: Known) -> str:
    """Why the search goes on after repeats, as a sentence; "" where it has not been interrupted."""
    if not known.latest[-1].spec.is_repeat:
        return ""
    left = known.study.spec.budget.trials - known.used.trials
    return f"the search goes on with {left} trials left: {'; '.join(known.gate.refused) or 'nothing may win so far'}"
