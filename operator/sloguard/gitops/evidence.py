"""What speaks for a change, for whoever reads its commit."""

import textwrap

from sloguard.api.v1alpha1 import Recommendation, Study

WIDTH = 72


def commit_message(study: Study, recommendation: Recommendation, title: str) -> str:
    """Subject, settings, reason and improvement with its interval, and how to reproduce and revert it."""
    settings = [f"    {name.value}: {value}" for name, value in sorted(recommendation.parameters.items())]
    paragraphs = [
        f"Tune vLLM in {title}",
        "\n".join(["Settings:", *(settings or ["    vLLM's defaults"])]),
        textwrap.fill(f"Found by study {study.name}, trial {recommendation.trial}: {recommendation.reason}", WIDTH),
    ]
    if recommendation.improvement_percent is not None:
        paragraphs.append(textwrap.fill(improvement(recommendation), WIDTH))
    if recommendation.choice:
        paragraphs.append(textwrap.fill(f"Why this one: {recommendation.choice}", WIDTH))
    paragraphs.append("To revert: git revert this commit; nothing else was changed with it.")
    return "\n\n".join(paragraphs) + "\n"


def improvement(recommendation: Recommendation) -> str:
    """What was gained, with its interval."""
    said = f"Improvement: {recommendation.improvement_percent} %"
    low, high = recommendation.improvement_low_percent, recommendation.improvement_high_percent
    if low is not None:
        said += f" (95 % interval: {low} to {high} %)" if high is not None else f" (95 % interval: from {low} %)"
    return f"{said}, from {recommendation.confirmations} confirmations."
