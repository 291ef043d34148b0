"""Names and labels of what a trial causes. Nothing of production's selects them."""

from typing import Final

from sloguard.api.v1alpha1 import GROUP

STUDY: Final = f"{GROUP}/study"
TRIAL: Final = f"{GROUP}/trial"
ROLE: Final = f"{GROUP}/role"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
PROMOTION_FINALIZER: Final = f"{GROUP}/promotion"

HISTORY: Final = f"{GROUP}/history"
LEDGER: Final = f"{GROUP}/ledger"
LEDGER_MODEL: Final = f"{GROUP}/ledger-model"
LEDGER_GPU: Final = f"{GROUP}/ledger-gpu"

SERVER: Final = "server"
LOAD: Final = "load"
LOAD_CONTAINER: Final = "load"
GIT: Final = "git"
GIT_CONTAINER: Final = "git"


def labels(study: str, trial: str, role: str) -> dict[str, str]:
    return {MANAGED_BY: "sloguard", STUDY: study, TRIAL: trial, ROLE: role}


def live_name(study: str) -> str:
    """The Service to which live traffic of a study goes (measurement Prometheus)."""
    return f"{study}-live"


def knowledge_name(study: str, first_trial: int = 0) -> str:
    """The ConfigMap with what a study's search began with; another one where it began anew at a later trial."""
    return f"{study}-knowledge-{first_trial}" if first_trial else f"{study}-knowledge"


def git_job_name(study: str, number: int) -> str:
    """Of a promotion through Git."""
    return f"{study}-git-{number}"


def load_name(trial: str) -> str:
    """The load Job's; Deployment and Service are called as their trial."""
    return f"{trial}-load"
