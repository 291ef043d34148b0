"""A promotion by the repository that production is made from: proposed, merged by people, verified, reverted. Pure.

    Planned -> Proposing -> Proposed -> Promoting -> Verifying -> Promoted
    Promoting, Verifying -> Reverting -> RollingBack -> RolledBack        the previous arguments go the same way
    Proposing, Proposed -> Declined                                       people closed the pull request
    each of them -> Halted                                                a person is needed

Production is never patched: it has the new arguments when it is *seen* to have them, whoever synced it. Each Job is
recorded before it is made, and asks for the same end as those before it, so that one that was lost is just made again.
A Job that fails is tried again later, and at once when somebody changes the study.
"""

from datetime import datetime, timedelta
from typing import Any

from sloguard.api.v1alpha1 import GitJob, GitPromotion, GitStatus, PromotionState, PromotionStatus, Study, StudyPhase
from sloguard.domain.arguments import same_arguments
from sloguard.engine.actions import StartGitJob
from sloguard.engine.known import Verdict
from sloguard.engine.promotion import CHANGED, PromotionStep, advance_promotion, entered, halt, is_expected
from sloguard.engine.snapshot import GitJobEnd, GitJobState, SeenGitJob, Snapshot, TargetState
from sloguard.engine.target_change import program_change

STATES = {PromotionState.PROPOSING, PromotionState.PROPOSED, PromotionState.REVERTING}
"""In which something is asked of the repository."""

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=30)

MOST_FAILURES = 20
"""In a row, some eight hours; then only a change of the study has it tried again."""

REFRESH = timedelta(hours=1)
"""An open proposal is brought up to date: its base may have moved, and people may have closed it."""

SYNC_PATIENCE = timedelta(minutes=15)
"""From production's branch to production."""


def through_git(promotion: PromotionStatus, git: GitPromotion) -> PromotionStatus:
    """A promotion that was just planned, by this way."""
    return promotion.model_copy(
        update={
            "git": GitStatus(repository=git.repository, job=GitJob(number=0)),
            "message": f"the arguments of {promotion.trial} go to {git.repository}",
        }
    )


def advance_git(promotion: PromotionStatus, target: TargetState, snapshot: Snapshot, now: datetime) -> PromotionStep:
    """One step on from a state that was written down before."""
    study = snapshot.study
    match promotion.state:
        case PromotionState.PLANNED:
            message = f"a Job brings the arguments of {promotion.trial} to {_git(promotion).repository}"
            first = _another_job(promotion, study)
            return PromotionStep(entered(first, PromotionState.PROPOSING, now, message))
        case PromotionState.PROPOSING | PromotionState.PROPOSED:
            return _until_it_arrives(promotion, target, snapshot, now)
        case PromotionState.REVERTING:
            return _until_it_is_taken_back(promotion, target, snapshot, now)
        case PromotionState.ROLLING_BACK if not same_arguments(target.arguments, promotion.previous_arguments):
            return halt(promotion, now, CHANGED)
        case _:
            step = advance_promotion(promotion, target, study, now, snapshot.traffic)
            return _by_git(promotion, step, study, now)


def _until_it_arrives(
    promotion: PromotionStatus, target: TargetState, snapshot: Snapshot, now: datetime
) -> PromotionStep:
    if changed := program_change(snapshot.study.status.target, target):
        return halt(promotion, now, f"somebody else changed production meanwhile, {changed}{_left_open(promotion)}")
    if same_arguments(target.arguments, promotion.arguments) and not _about_to_say_where(promotion, snapshot.git_job):
        arrived = _with(_taken_down(promotion, snapshot.git_job, now), arrived_at=now)
        message = "the new arguments have arrived in production, which rolls them out"
        return PromotionStep(entered(arrived, PromotionState.PROMOTING, now, message))
    if not is_expected(promotion, target):
        return halt(promotion, now, f"{CHANGED}{_left_open(promotion)}")
    return _with_job(promotion, snapshot, now)


def _about_to_say_where(promotion: PromotionStatus, seen: SeenGitJob) -> bool:
    """The Job that brought it has seconds to go, and says then which commit it was."""
    told = promotion.state is PromotionState.PROPOSED or _git(promotion).revert_commit
    return not told and seen.state is GitJobState.RUNNING


def _taken_down(promotion: PromotionStatus, seen: SeenGitJob, now: datetime) -> PromotionStatus:
    """What a Job came to that production was as fast as."""
    end = seen.end
    return _after(promotion, end, now) if end is not None and end.succeeded else promotion


def _left_open(promotion: PromotionStatus) -> str:
    request = _git(promotion).pull_request
    return f"; {request} speaks of what production was before" if request else ""


def _until_it_is_taken_back(
    promotion: PromotionStatus, target: TargetState, snapshot: Snapshot, now: datetime
) -> PromotionStep:
    if changed := program_change(snapshot.study.status.target, target):
        return halt(promotion, now, f"somebody else changed production meanwhile, {changed}")
    seen, is_back = snapshot.git_job, same_arguments(target.arguments, promotion.previous_arguments)
    if is_back and not _about_to_say_where(promotion, seen):
        back = _taken_down(promotion, seen, now)
        return PromotionStep(entered(back, PromotionState.ROLLING_BACK, now, promotion.message))
    if not is_expected(promotion, target):
        return halt(promotion, now, CHANGED)
    return _with_job(promotion, snapshot, now)


def _by_git(promotion: PromotionStatus, step: PromotionStep, study: Study, now: datetime) -> PromotionStep:
    """What would be patched back is reverted where it came from."""
    status = step.status
    if status.state is not PromotionState.ROLLING_BACK or promotion.state is PromotionState.ROLLING_BACK:
        return step
    back = _another_job(status, study, failures=0)
    return PromotionStep(entered(back, PromotionState.REVERTING, now, status.message))


def _with_job(promotion: PromotionStatus, snapshot: Snapshot, now: datetime) -> PromotionStep:
    """Make the Job that is recorded, take down what it came to, or record another."""
    study, job, seen = snapshot.study, _git(promotion).job, snapshot.git_job
    if job.ended_at is not None:
        return PromotionStep(_another_job(promotion, study) if _is_due(promotion, study, now) else promotion)
    if seen.state is GitJobState.ENDED and seen.end is not None:
        return PromotionStep(_after(promotion, seen.end, now))
    if seen.state is GitJobState.RUNNING or not _may_start(promotion, study):
        return PromotionStep(promotion)
    return PromotionStep(promotion, job=StartGitJob(job.number, back=promotion.state is PromotionState.REVERTING))


def _may_start(promotion: PromotionStatus, study: Study) -> bool:
    """What failed in production is taken back also while the study is suspended."""
    held = study.spec.suspend and promotion.state is not PromotionState.REVERTING
    return study.spec.promotion.git is not None and not held


def _is_due(promotion: PromotionStatus, study: Study, now: datetime) -> bool:
    git = _git(promotion)
    job = git.job
    if not _may_start(promotion, study) or job.ended_at is None:
        return False
    if job.generation != study.metadata.generation:
        return True
    if not job.failures:
        return not git.on_base and now - job.ended_at >= REFRESH
    return job.failures < MOST_FAILURES and now - job.ended_at >= _pause(job.failures)


def _pause(failures: int) -> timedelta:
    return min(FIRST_PAUSE * 2 ** min(failures - 1, 16), LONGEST_PAUSE)


def _another_job(promotion: PromotionStatus, study: Study, failures: int | None = None) -> PromotionStatus:
    """Recorded; it is made by the next look, for the repository that the study names now."""
    job, wanted = _git(promotion).job, study.spec.promotion.git
    following = {
        "number": job.number + 1,
        "generation": study.metadata.generation,
        "ended_at": None,
        "failures": job.failures if failures is None else failures,
    }
    there = {"repository": wanted.repository} if wanted is not None else {}
    return _with(promotion, job=job.model_copy(update=following), **there)


def _after(promotion: PromotionStatus, end: GitJobEnd, now: datetime) -> PromotionStatus:
    job = _git(promotion).job
    failed = {
        "ended_at": now,
        "failures": 0 if end.succeeded else job.failures + 1,
        "reason": end.reason[:64] if not end.succeeded else "",
        "message": end.message[:1024] if not end.succeeded else "",
        "needs_person": not end.succeeded and not end.may_pass,
    }
    told = _with(promotion, job=job.model_copy(update=failed))
    if end.declined:
        return _declined(told, end, now)
    if not end.succeeded:
        return told
    back = promotion.state is PromotionState.REVERTING
    names = ("revert_commit", "revert_pull_request") if back else ("commit", "pull_request")
    found = dict(zip(names, (end.commit[:64], end.pull_request[:1024]), strict=True))
    told = _with(told, on_base=end.on_base, branch=end.branch[:200], **found)
    if promotion.state is not PromotionState.PROPOSING:
        return told
    return entered(told, PromotionState.PROPOSED, now, f"the arguments of {promotion.trial}: {_where(told)}")


def _declined(promotion: PromotionStatus, end: GitJobEnd, now: datetime) -> PromotionStatus:
    if promotion.state is PromotionState.REVERTING:
        why = f"{promotion.message}; people closed the request to revert it: {end.message}"
        return halt(promotion, now, why).status
    message = f"people decided against it, and production keeps its arguments: {end.message}"
    return entered(promotion, PromotionState.DECLINED, now, message)


def _where(promotion: PromotionStatus) -> str:
    """For people: where the last success left them."""
    git, back = _git(promotion), promotion.state is PromotionState.REVERTING
    commit, request = (git.revert_commit, git.revert_pull_request) if back else (git.commit, git.pull_request)
    on = f"commit {commit} on {git.branch} of {git.repository}"
    return f"{request} ({on})" if request and not git.on_base else on


def left(promotion: PromotionStatus | None) -> str:
    """What a study that is deleted leaves in its repository, or nothing."""
    git = promotion.git if promotion is not None else None
    if promotion is None or git is None or not git.commit:
        return ""
    return f"the study was deleted before its promotion was verified, and this stays as it is: {_where(promotion)}"


def verdict(promotion: PromotionStatus, study: Study, now: datetime) -> Verdict:
    """On a promotion in one of STATES: what it waits for, and where a person has to do something."""
    git, back = _git(promotion), promotion.state is PromotionState.REVERTING
    job, why = git.job, f"{promotion.message}. " if back else ""
    phase, state = StudyPhase.PROMOTING, promotion.state.value
    if study.spec.promotion.git is None:
        message = f"{why}spec.promotion.git was removed, and says where the arguments go; put it back"
        return Verdict(phase, "GitSettingsMissing", message, stalled=True)
    if job.failures:
        return Verdict(phase, job.reason, f"{why}{_failed(job, back=back)}", stalled=_stalls(job))
    if job.ended_at is None and not (git.revert_commit if back else git.commit):
        return Verdict(phase, state, f"{why}{_job_under_way(git, back=back)}")
    if git.on_base:
        return _merged(promotion, f"{why}{_where(promotion)}", now)
    if back:
        message = f"{why}Merge the revert, {_where(promotion)}: production still runs what failed"
        return Verdict(phase, "RevertAwaitsMerge", message, stalled=True)
    message = f"{_where(promotion)} waits to be merged; then production is watched until it has the arguments"
    return Verdict(phase, "AwaitingMerge", message)


def _stalls(job: GitJob) -> bool:
    """What passes by itself is not a person's business before it has not done so for a while."""
    return job.needs_person or _pause(job.failures) == LONGEST_PAUSE


def _failed(job: GitJob, *, back: bool) -> str:
    what = "the revert could not be brought" if back else "the arguments could not be brought"
    again = (
        f"{MOST_FAILURES} Jobs failed, and it is tried again when the study is changed"
        if job.failures >= MOST_FAILURES
        else "it is tried again, later each time, and at once when the study is changed"
    )
    return f"{what} to the repository: {job.message}; {again}"


def _job_under_way(git: GitStatus, *, back: bool) -> str:
    what = "the previous arguments" if back else "the arguments"
    return f"a Job brings {what} to {git.repository}"


def _merged(promotion: PromotionStatus, where: str, now: datetime) -> Verdict:
    """On production's branch, and not in production."""
    back = promotion.state is PromotionState.REVERTING
    since = _git(promotion).job.ended_at or now
    what = "its previous arguments" if back else "the new arguments"
    if now - since <= SYNC_PATIENCE:
        message = f"{where}; production does not have {what} yet"
        return Verdict(StudyPhase.PROMOTING, "AwaitingSync", message)
    message = (
        f"{where}; production has not got {what} for {SYNC_PATIENCE.total_seconds() / 60:.0f} min. See that what syncs "
        "it does, and that it is made from spec.promotion.git.file"
    )
    return Verdict(StudyPhase.PROMOTING, "NotSynced", message, stalled=True)


def _git(promotion: PromotionStatus) -> GitStatus:
    assert promotion.git is not None, "it goes through Git"
    return promotion.git


def _with(promotion: PromotionStatus, **changes: Any) -> PromotionStatus:  # noqa: ANN401 - fields of one model
    return promotion.model_copy(update={"git": _git(promotion).model_copy(update=changes)})
