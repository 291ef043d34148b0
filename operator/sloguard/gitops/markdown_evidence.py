"""What speaks for a change, for whoever reviews its pull request."""

import re
from collections.abc import Iterable, Mapping, Sequence

from sloguard.api.v1alpha1 import KnobName, Outcome, Recommendation, Study, TargetKind, Trial
from sloguard.gitops.evidence import improvement
from sloguard.gitops.recommended import tuned_names

_MOST_TRIALS = 40
_DEFAULT = "vLLM's default"
_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|~@])")


def pull_request_body(
    study: Study, recommendation: Recommendation, trials: Sequence[Trial], production: Mapping[KnobName, str]
) -> str:
    """Settings beside production's as measured, confidence, trials, what was avoided, how to reproduce and how to
    revert it, in GitHub's Markdown.
    """
    sections = [
        f"Found by study `{study.name}`, trial `{recommendation.trial}`. {plain(recommendation.reason)}".rstrip(),
        _settings(recommendation, production),
        _confidence(study, recommendation),
        _trials(trials),
        _avoided(trials),
        f"### Reproduce\n\n{_reproduced(study)}",
        "### Revert\n\nRevert this pull request's commit: nothing else was changed with it.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def plain(text: str) -> str:
    """A text that is only text, on one line: no markup, no mention of anybody, no link to an issue."""
    return _MARKS.sub(r"\\\1", " ".join(text.split())).replace("\\@", "@\u200b").replace("\\#", "#\u200b")


def _code(text: str) -> str:
    """As it is, also within a table."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _reproduced(study: Study) -> str:
    if study.spec.target.kind is TargetKind.PROCESS:
        return "`sloguard tune` with the study's file and its seed, and `sloguard report`."
    read = f"kubectl get slostudy {study.name} -n {study.metadata.namespace} -o yaml"
    return f"Create a study with the same specification: `{read}` shows it."


def _settings(recommendation: Recommendation, production: Mapping[KnobName, str]) -> str:
    new = recommendation.parameters
    names = sorted(tuned_names(recommendation, production), key=lambda name: name.value)
    rows = ([f"`{name.value}`", _value(production, name), _value(new, name)] for name in names)
    return "### Settings\n\n" + _table(["setting", "production, as measured", "proposed"], rows)


def _value(settings: Mapping[KnobName, str], name: KnobName) -> str:
    return _code(settings[name]) if name in settings else _DEFAULT


def _confidence(study: Study, recommendation: Recommendation) -> str:
    limits = ", ".join(f"{slo.metric.value} p{slo.percentile} within {slo.milliseconds} ms" for slo in study.spec.slos)
    said = [f"SLOs: {limits}; {'all met' if recommendation.slos_met else 'not all met'}."]
    if recommendation.improvement_percent is not None:
        said.append(plain(improvement(recommendation)))
    if recommendation.error_percent is not None:
        said.append(f"The chance allowed that it is no improvement: {recommendation.error_percent} %.")
    if recommendation.choice:
        said.append(f"Why this one: {plain(recommendation.choice)}")
    return "### Confidence\n\n" + "\n\n".join(said)


def _trials(trials: Sequence[Trial]) -> str:
    finished = [trial for trial in trials if trial.status.outcome not in {None, Outcome.CANCELLED}]
    shown = finished[-_MOST_TRIALS:]
    left_out = f"\n\nThe first {len(finished) - len(shown)} are not shown." if len(shown) < len(finished) else ""
    rows = (
        [f"`{trial.name}`", trial.spec.purpose.value, _outcome(trial), _goodput(trial), _of(trial)] for trial in shown
    )
    heads = ["trial", "purpose", "outcome", "goodput (tokens/s)", "settings"]
    return "### Trials\n\n" + _table(heads, rows) + left_out if shown else ""


def _outcome(trial: Trial) -> str:
    outcome, crash = trial.status.outcome, trial.status.crash
    said = outcome.value if outcome is not None else ""
    return f"{said}: {crash.class_.value}" if crash is not None else said


def _goodput(trial: Trial) -> str:
    goodput = trial.status.goodput_tokens_per_second
    return "" if goodput is None else str(goodput)


def _of(trial: Trial) -> str:
    return (
        " ".join(_code(f"{name.value}={value}") for name, value in sorted(trial.spec.parameters.items())) or "as it was"
    )


def _avoided(trials: Sequence[Trial]) -> str:
    crashed = [trial for trial in trials if trial.status.outcome is Outcome.CRASHED and trial.status.crash is not None]
    lines = [
        f"- `{trial.name}`: {trial.status.crash.class_.value}: {plain(trial.status.crash.cause)}"
        for trial in crashed[-_MOST_TRIALS:]
        if trial.status.crash is not None
    ]
    return "### Avoided\n\nThese died while they were tried, beside production:\n\n" + "\n".join(lines) if lines else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
