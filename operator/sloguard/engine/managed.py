"""Production that somebody else manages too: what becomes there of arguments that a promotion patches in. Pure."""

from sloguard.api.v1alpha1 import PromotionMode, Study, Trial
from sloguard.engine.snapshot import Manager, TargetProblem


def about(manager: Manager) -> str:
    """For the study's condition."""
    if not manager.reverts:
        return (
            f"production is part of {manager.title}, whose next upgrade brings its own arguments back: "
            "put what is promoted into its values too"
        )
    source = "its repository" if manager.by_git else "what it works from"
    return f"{manager.title} manages production and brings the arguments of {source} back"


def objection(study: Study, manager: Manager | None, trial: Trial) -> TargetProblem | None:
    """Why nothing is promoted by itself: that would be a fight. Where a person approves, it is that person's will."""
    if manager is None or not manager.reverts or study.spec.promotion.mode is not PromotionMode.AUTOMATIC:
        return None
    there = "to its repository" if manager.by_git else "to what it works from"
    by_git = "; spec.promotion.mode Git does all that" if manager.by_git else ""
    message = (
        f"{about(manager)}, so nothing is changed here. Bring the arguments of {trial.name} (status.recommendation) "
        f"{there}, and this study is done when production has them{by_git}; or, if they would stay, set "
        f"spec.promotion.mode to Manual and approvedTrial to {trial.name}"
    )
    return TargetProblem("TargetManagedByGitOps" if manager.by_git else "TargetManagedByController", message)
