"""Studies whose promotion goes through Git."""

from typing import Any

from sloguard.api.v1alpha1 import GitJob, GitStatus, PromotionState, PromotionStatus, Recommendation, Study
from tests.unit.cluster.objects import T0, study

Object = dict[str, Any]

GIT: Object = {
    "repository": "https://git.example.com/team/apps.git",
    "file": {"path": "apps/llm/llama.yaml"},
    "pullRequest": {"forge": "Gitea"},
    "secretRef": {"name": "llama-git"},
}
PREVIOUS = ["org/m", "--port", "8000", "--max-num-seqs", "64", "--enforce-eager"]
ARGUMENTS = ["org/m", "--port", "8000", "--max-num-seqs", "192", "--gpu-memory-utilization", "0.93"]
PARAMETERS = {"max_num_seqs": "192", "gpu_memory_utilization": "0.93"}


def promoting(state=PromotionState.PROPOSING, *, number=1, message="because", git=GIT, **status: Any) -> Study:
    """`status` is of its GitStatus."""
    one = study(promotion={"mode": "Git", "git": git})
    promotion = PromotionStatus(
        state=state,
        trial="s-3-1",
        parameters=PARAMETERS,
        arguments=ARGUMENTS,
        previous_arguments=PREVIOUS,
        started_at=T0,
        changed_at=T0,
        message=message,
        git=GitStatus(job=GitJob(number=number), **status),
    )
    found = Recommendation(
        trial="s-3-1",
        parameters=PARAMETERS,
        arguments=ARGUMENTS,
        goodput_tokens_per_second=300,
        improvement_percent=200,
        reason="300 tokens/s over 100",
    )
    told = one.status.model_copy(update={"promotion": promotion, "recommendation": found})
    return one.model_copy(update={"status": told})
