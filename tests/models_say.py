"""What the models say of a study, to be held against the API server."""

import json
from typing import Any

from pydantic import ValidationError

from sloguard.api.v1alpha1 import Study, TargetKind


def models_say(study: dict[str, Any]) -> str:
    """What the models mind, or nothing. What is for local files alone is for the API server to refuse."""
    try:
        model = Study.model_validate_json(json.dumps(study), strict=True)
    except ValidationError as error:
        return str(error)
    if model.spec.workload.arrival.trace_file is not None:
        return "traceFile"
    if model.spec.workload.prompts.tokenizer_file is not None:
        return "tokenizerFile"
    return "kind Process" if model.spec.target.kind is TargetKind.PROCESS else ""
