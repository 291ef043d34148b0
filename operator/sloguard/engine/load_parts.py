"""What the parts of one load amount to, as their generators end. Pure."""

from collections.abc import Sequence

from sloguard.engine.snapshot import Load, LoadState
from sloguard.measure.merge import PartsError, merge


def load_of_parts(ended: Sequence[Load], generators: int) -> Load:
    """Of all that ended so far: one whose result is missing or invalid spoils the load at once."""
    useless = next((part for part in ended if part.result is None or part.result.invalid), None)
    if useless is not None:
        return useless
    if len(ended) < generators:
        return Load(LoadState.RUNNING)
    results = [part.result for part in ended if part.result is not None]
    if generators == 1:
        return Load(LoadState.DONE, results[0])
    try:
        return Load(LoadState.DONE, merge(results, generators))
    except PartsError as error:
        return Load(LoadState.FAILED, detail=str(error))
