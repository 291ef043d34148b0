"""What a promotion through Git asks of its repository, and with which evidence. Pure.

It goes to the Job in a ConfigMap: settings and words, and nothing that is secret.
"""

from collections.abc import Sequence
from pathlib import Path

from sloguard.api.v1alpha1 import GitPromotion, KnobName, PromotionStatus, Recommendation, Study, Trial
from sloguard.domain.arguments import tuned
from sloguard.engine.verification import in_words
from sloguard.gitops.evidence import commit_message
from sloguard.gitops.markdown_evidence import plain, pull_request_body
from sloguard.gitops.recommended import tuned_names
from sloguard.gitops.remote.proposal import Evidence, Request, Settings


def request_of(study: Study, trials: Sequence[Trial], *, back: bool) -> Request:
    """The winner's settings into the repository, or those of the production before them."""
    promotion, git = study.status.promotion, study.spec.promotion.git
    assert promotion is not None, "a Job is asked for by a promotion"
    assert git is not None, "without them nothing is asked for"
    production = tuned(promotion.previous_arguments)
    recommendation = _recommendation(study, promotion)
    names = tuned_names(recommendation, production)
    before = {name: value for name, value in production.items() if name in names}
    evidence = (
        _of_the_revert(study, promotion, git)
        if back
        else _of_the_proposal(study, recommendation, trials, production, git)
    )
    return Request(
        repository=git.repository,
        base=git.base,
        branch=_branch(study, git, back=back),
        changes=(git.file,),
        settings=Settings(
            names=frozenset(names),
            parameters=before if back else recommendation.parameters,
            measured=None if back else production,
            may_narrow=back or study.spec.search_space.allow_quality_change,
        ),
        evidence=evidence,
        author=git.author,
        proposer=f"{study.metadata.namespace}/{study.name}",
        pull_request=git.pull_request,
    )


def _recommendation(study: Study, promotion: PromotionStatus) -> Recommendation:
    """As it was given; its arguments are the promotion's."""
    given = study.status.recommendation
    assert given is not None, "mode Git promotes what was recommended"
    return given.model_copy(update={"parameters": promotion.parameters, "arguments": promotion.arguments})


def _branch(study: Study, git: GitPromotion, *, back: bool) -> str:
    if git.pull_request is None and not git.branch:
        return git.base
    branch = git.branch or f"sloguard/{study.metadata.namespace}/{study.name}"
    return f"{branch}-revert" if back else branch


def _of_the_proposal(
    study: Study,
    recommendation: Recommendation,
    trials: Sequence[Trial],
    production: dict[KnobName, str],
    git: GitPromotion,
) -> Evidence:
    title = Path(git.file.path).name
    return Evidence(
        message=commit_message(study, recommendation, title),
        title=f"Tune vLLM in {title}",
        body=pull_request_body(study, recommendation, trials, production) if git.pull_request else "",
    )


def _of_the_revert(study: Study, promotion: PromotionStatus, git: GitPromotion) -> Evidence:
    """Why, and what was seen."""
    title = f"Revert: tune vLLM in {Path(git.file.path).name}"
    name, commit = f"{study.metadata.namespace}/{study.name}", promotion.git.commit if promotion.git is not None else ""
    brought = f" (commit {commit})" if commit else ""
    why = f"The settings of {promotion.trial}{brought} failed in production: {promotion.message}."
    said = [f"{why} This brings the settings before them back."]
    if promotion.before is not None:
        said.append(f"Production's traffic before: {in_words(promotion.before)}.")
    if promotion.since is not None:
        said.append(f"Since: {in_words(promotion.since)}.")
    said.append(f"Found by study {name}. Mend what failed, and create a new study to try again.")
    return Evidence(message="\n\n".join([title, *said]) + "\n", title=title, body="\n\n".join(map(plain, said)) + "\n")
