"""What a file's present settings say about new ones: whether clients would be served less, and whether they were
measured against the same production.
"""

from collections.abc import Mapping

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.knobs import KNOBS, KnobError, parse_value
from sloguard.gitops.errors import EditError


def differences(there: Mapping[KnobName, str], measured: Mapping[KnobName, str]) -> list[str]:
    """A note where the improvement was measured against another production than the file's."""
    differing = [name for name in KNOBS if there.get(name) != measured.get(name) and name in {*there, *measured}]
    if not differing:
        return []
    said = ", ".join(
        f"{name.value} is {there.get(name, 'absent')} there, was {measured.get(name, 'absent')}" for name in differing
    )
    return [f"the study measured another production than this: {said}"]


def check_not_narrower(there: Mapping[KnobName, str], new: Mapping[KnobName, str], *, may_narrow: bool) -> None:
    """The longest request stays as long as today.

    Raises:
        EditError: it would be shorter, and that was not allowed.

    """
    longest = KnobName.MAX_MODEL_LEN
    if may_narrow or longest not in new or longest not in there or not _is_lower(longest, new[longest], there[longest]):
        return
    raise EditError(
        f"{longest.value} would go from {there[longest]} down to {new[longest]}, and longer requests would be refused; "
        "study this production, or set searchSpace.allowQualityChange"
    )


def _is_lower(name: KnobName, new: str, old: str) -> bool:
    try:
        values = parse_value(name, new), parse_value(name, old)
    except KnobError:
        return False
    return all(isinstance(value, int) for value in values) and float(values[0]) < float(values[1])
