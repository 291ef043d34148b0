"""What a run begins with of earlier studies, and what it leaves to later ones.

A run's directory keeps both the setup and the records that it began with (ledger.jsonl), so that it makes the same
choices when it is resumed, whatever other studies left meanwhile.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from sloguard.api.v1alpha1 import Trial
from sloguard.domain.ledger import EMPTY, Ledger, LedgerRecord, Setup, nearest, record_of, version_in
from sloguard.local.errors import LedgerError, RunDirectoryError
from sloguard.local.ledger_file import add_to_ledger, read_ledger
from sloguard.local.records import LEDGER_FILE, Run
from sloguard.local.server_log import read_log

MOST_TAKEN = 300
"""Records that a run begins with: those of its model and GPU first."""

LOG_BYTES = 64 * 1024
"""Of a server's log: the version is said at once."""

Note = Callable[[str], None]


def ledger_of_run(directory: Path) -> Ledger:
    """What the run in this directory began with; nothing where it began without.

    Raises:
        RunDirectoryError: the directory's record of it is damaged.

    """
    path = directory / LEDGER_FILE
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return EMPTY
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be read: {error.strerror}") from error
    try:
        setup = Setup.model_validate_json(lines[0])
        return Ledger(setup, tuple(LedgerRecord.model_validate_json(line) for line in lines[1:]))
    except (ValidationError, IndexError) as error:
        raise RunDirectoryError(
            f"{path} is not as this version of sloguard wrote it; use the version that wrote it, or begin anew in "
            "another directory"
        ) from error


def told(directory: Path) -> str:
    """What the run in this directory knew of earlier studies, as a sentence; "" for nothing.

    Raises:
        RunDirectoryError: the directory's record of it is damaged.

    """
    records = ledger_of_run(directory).records
    studies = len({(record.study, record.run) for record in records})
    of = "one earlier study" if studies == 1 else f"{studies} earlier studies"
    return f"Began with {len(records)} records of {of} ({LEDGER_FILE})." if records else ""


def begin_with(directory: Path, run: Run, file: Path | None, setup: Callable[[], Setup], note: Note) -> Ledger:
    """What a run is to know of earlier studies: decided once, at its beginning.

    Raises:
        LedgerError: the ledger cannot be read.

    """
    path = directory / LEDGER_FILE
    if path.exists() or run.trials:
        return ledger_of_run(directory)
    here = setup()
    content = None if file is None else read_ledger(file)
    records = () if content is None else nearest(content.records, here, MOST_TAKEN)
    ledger = Ledger(here, records)
    _write(path, ledger)
    if records:
        same = sum(bool(here.model) and record.setup.model == here.model for record in records)
        note(f"Takes {len(records)} records of earlier studies from {file}, {same} of them with this model")
    if content is not None and content.foreign:
        note(f"{len(content.foreign)} lines of {file} are not of this version of sloguard and were passed over")
    return ledger


def _write(path: Path, ledger: Ledger) -> None:
    """In one piece or not at all."""
    draft = path.with_suffix(".new")
    try:
        with draft.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(each.dump()) + "\n" for each in (ledger.setup, *ledger.records))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be written: {error.strerror}; make room and run it again") from error


@dataclass(slots=True)
class Legacy:
    """Leaves each finished trial's record in the ledger, once; a ledger that cannot be written costs nothing else."""

    file: Path
    setup: Setup
    log_of: Callable[[str], Path]
    note: Note
    left: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    told: bool = False

    @classmethod
    def of(cls, file: Path, run: Run, setup: Setup, log_of: Callable[[str], Path], note: Note) -> "Legacy":
        """Of a run that may have been killed before its last trial was left."""
        legacy = cls(file, setup, log_of, note)
        try:
            uid = run.study.metadata.uid
            legacy.left = {(r.run, r.number) for r in read_ledger(file).records if r.run == uid}
        except LedgerError as error:
            legacy._tell(error)
        return legacy

    def leave(self, run: Run) -> None:
        """What was finished since."""
        uid = run.study.metadata.uid
        news = [t for t in run.trials.values() if t.finished and (uid, t.spec.number) not in self.left]
        records = [record for t in news if (record := record_of(t, uid, self._setup(t))) is not None]
        if not records:
            return
        try:
            add_to_ledger(self.file, records)
        except LedgerError as error:
            self._tell(error)
        self.left |= {(record.run, record.number) for record in records}

    def _setup(self, trial: Trial) -> Setup:
        """With what its own start told: the version, and the GPU's memory."""
        version = version_in(read_log(self.log_of(trial.name), LOG_BYTES)) or self.setup.vllm_version
        seen = trial.status.margins.device_memory_bytes if trial.status.margins else None
        memory = self.setup.gpu_memory_bytes or seen
        return self.setup.model_copy(update={"vllm_version": version, "gpu_memory_bytes": memory})

    def _tell(self, error: LedgerError) -> None:
        if not self.told:
            self.note(f"Nothing is left to later studies: {error}")
        self.told = True
