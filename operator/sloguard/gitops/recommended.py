"""Which settings a recommendation is about."""

from collections.abc import Mapping

from sloguard.api.v1alpha1 import KnobName, Recommendation, Study
from sloguard.domain.arguments import ArgumentsError, split_command, tuned


def tuned_names(recommendation: Recommendation, production: Mapping[KnobName, str]) -> set[KnobName]:
    """What was recommended, and what production sets and the recommendation leaves to vLLM's default."""
    return set(recommendation.parameters) | (set(production) - set(tuned(recommendation.arguments)))


def production_settings(study: Study) -> dict[KnobName, str]:
    """The settings of the production that was measured, where the study itself names its command."""
    try:
        return tuned(split_command(study.spec.target.command or [])[1])
    except ArgumentsError:
        return {}
