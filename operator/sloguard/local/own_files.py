"""A run's own copies of the files that its study names: later trials must not depend on what becomes of those."""

import hashlib
import shutil
from pathlib import Path

from sloguard.api.v1alpha1 import Study, Workload


def with_own_files(study: Study, directory: Path) -> Study:
    """The study with its files in the directory, under names that the content gives them: other content, other study.

    Raises:
        OSError: a file cannot be read, or the directory not be written.

    """
    workload = study.spec.workload.with_files(lambda path: _copied(Path(path), directory))
    return study.model_copy(update={"spec": study.spec.model_copy(update={"workload": workload})})


def reading_own_files(workload: Workload, directory: Path) -> Workload:
    """The workload for a load, which runs elsewhere."""
    return workload.with_files(lambda name: str(directory.absolute() / name))


def _copied(file: Path, directory: Path) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    own = directory / f"{file.stem}-{digest}{file.suffix}"
    if not own.exists():
        draft = own.with_suffix(".new")
        shutil.copyfile(file, draft)
        draft.replace(own)
    return own.name
