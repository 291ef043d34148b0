"""A run's own copy of the trace that its study replays: later trials must not depend on what becomes of the file."""

import hashlib
import shutil
from pathlib import Path

from sloguard.api.v1alpha1 import Study, Workload


def with_own_trace(study: Study, directory: Path) -> Study:
    """The study with its trace in the directory, under a name that the content gives it: other content, other study.

    Raises:
        OSError: the file cannot be read, or the directory not be written.

    """
    file = study.spec.workload.arrival.trace_file
    if file is None:
        return study
    with Path(file).open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    own = directory / f"trace-{digest}{Path(file).suffix}"
    if not own.exists():
        draft = own.with_suffix(".new")
        shutil.copyfile(file, draft)
        draft.replace(own)
    workload = study.spec.workload.with_trace_file(own.name)
    return study.model_copy(update={"spec": study.spec.model_copy(update={"workload": workload})})


def reading_own_trace(workload: Workload, directory: Path) -> Workload:
    """The workload for a load, which runs elsewhere."""
    name = workload.arrival.trace_file
    return workload if name is None else workload.with_trace_file(str(directory.absolute() / name))
