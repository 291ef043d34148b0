"""Which settings a recommendation is about."""

from sloguard.api.v1alpha1 import KnobName, Recommendation, Study
from sloguard.domain.arguments import ArgumentsError, split_command, tuned


def tuned_names(study: Study, recommendation: Recommendation) -> set[KnobName]:
    """What was recommended, and what production sets and the recommendation leaves to vLLM's default."""
    return set(recommendation.parameters) | (set(production_settings(study)) - set(tuned(recommendation.arguments)))


def production_settings(study: Study) -> dict[KnobName, str]:
    """The settings of the production that was measured."""
    try:
        return tuned(split_command(study.spec.target.command or [])[1])
    except ArgumentsError:
        return {}
