"""A ledger that many write and nobody guards: what of it is believed, and what of it is kept. Pure.

What is kept follows from the records alone, never from the order in which they came, so that writers may merge in any
order and as often as they like. It serves a search's prior and nothing else; whoever can write it can mislead that
prior, but neither break a search nor make it grow.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from sloguard.api.v1alpha1 import Crash, Fault

from .ledger import MOST_OF_A_KIND, LedgerRecord, Setup

MOST_RECORD_BYTES = 1700
"""As a line of text; so a ledger of MOST_OF_A_KIND records has at most 255,000 bytes."""

MOST_ALIKE = 3
"""Records of one configuration that came to one end: more of them would say the same."""

AHEAD = timedelta(days=1)
"""That another machine's clock may be."""

_STUDY = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", re.ASCII)
_SETTING = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_RUN = re.compile(r"[-0-9A-Za-z]{1,64}", re.ASCII)
_BEGINNING = datetime.min.replace(tzinfo=UTC)

_MOST_BYTES = 2**50
_MOST_WHOLE = 2**31 - 1
_MOST_OF_SETUP = {
    "gpu_memory_bytes": 2**44,
    "gpu_bandwidth_bytes_per_second": _MOST_BYTES,
    "compute_capability_tenths": 1000,
    "parameters": 10**14,
    "layers": 10_000,
    "attention_heads": 100_000,
    "kv_heads": 100_000,
    "hidden_size": 10_000_000,
}


@dataclass(frozen=True, slots=True)
class Read:
    """The records that are believed, oldest first, and how many lines are not."""

    records: tuple[LedgerRecord, ...] = ()
    passed_over: int = 0


def read_text(text: str, now: datetime) -> Read:
    """Of any text, one record a line."""
    records: list[LedgerRecord] = []
    passed_over = 0
    for line in text.split("\n"):
        if not line:
            continue
        record = _record(line)
        if record is not None and believed(record, now):
            records.append(record)
        else:
            passed_over += 1
    return Read(tuple(merged(records)), passed_over)


def shareable(record: LedgerRecord, now: datetime) -> LedgerRecord | None:
    """As others will believe it, with as much of a long cause as there is room for; None for what they would not."""
    crash = record.crash
    if crash is not None:
        told = {"cause": _on_one_line(crash.cause), "limit": crash.limit and _on_one_line(crash.limit)}
        crash = crash.model_copy(update=told)
        record = record.model_copy(update={"crash": crash})
        excess = len(_line(record).encode()) - MOST_RECORD_BYTES
        if excess > 0:
            kept = max(len(crash.cause.encode()) - excess, 0)
            cause = crash.cause.encode()[:kept].decode(errors="ignore")
            record = record.model_copy(update={"crash": crash.model_copy(update={"cause": cause})})
    return record if believed(record, now) and _fits(record) else None


def text_of_records(records: Iterable[LedgerRecord]) -> str:
    """For `read_text`."""
    return "".join(f"{_line(record)}\n" for record in records)


def merged(records: Iterable[LedgerRecord]) -> list[LedgerRecord]:
    """Oldest first: each trial once, MOST_ALIKE of what says the same, and the latest MOST_OF_A_KIND of these.

    Associative, commutative and idempotent for records that agree on what a trial was: the older ones of those that say
    the same go first, then the oldest.
    """
    unique: dict[tuple[str, str, int], LedgerRecord] = {}
    for record in sorted(records, key=_age):
        unique[record.key] = record
    kept: list[LedgerRecord] = []
    alike: dict[object, int] = {}
    for record in sorted(unique.values(), key=_age, reverse=True):
        kind = _kind(record)
        alike[kind] = alike.get(kind, 0) + 1
        if alike[kind] <= MOST_ALIKE and len(kept) < MOST_OF_A_KIND:
            kept.append(record)
    return kept[::-1]


def believed(record: LedgerRecord, now: datetime) -> bool:
    """Whether the operator could have written it: a record that it could not have is as good as none."""
    named = _STUDY.fullmatch(record.study) and _RUN.fullmatch(record.run)
    timely = record.finished_at is not None and record.finished_at <= now + AHEAD
    return bool(
        named and timely and _possible_setup(record.setup) and _possible_values(record) and _possible_end(record)
    )


def _possible_setup(setup: Setup) -> bool:
    texts = (setup.gpu_name, setup.model, setup.vllm_version)
    within = all((getattr(setup, name) or 0) <= most for name, most in _MOST_OF_SETUP.items())
    return within and all(text.isprintable() for text in texts)


def _possible_values(record: LedgerRecord) -> bool:
    return all(value <= _MOST_WHOLE for value in record.values.values() if isinstance(value, int | float))


def _possible_end(record: LedgerRecord) -> bool:
    crash, margins = record.crash, record.margins
    if record.crashed != (crash is not None) or (record.crashed and record.refused):
        return False
    figures = () if margins is None else (f for f in margins.model_dump().values() if f is not None)
    if any(abs(figure) > _MOST_BYTES for figure in figures):
        return False
    if crash is None:
        return True
    told = (crash.cause, crash.limit or "")
    plain = all(text.isprintable() for text in told) and _plain_bounds(crash)
    return plain and crash.fault is Fault.CONFIGURATION


def _plain_bounds(crash: Crash) -> bool:
    """The models hold the figures to what is possible; names of settings are text of others."""
    return crash.proof is None or all(_SETTING.fullmatch(bound.setting) for bound in crash.proof.bounds)


def _on_one_line(text: str) -> str:
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _fits(record: LedgerRecord) -> bool:
    return len(_line(record).encode()) <= MOST_RECORD_BYTES


def _record(line: str) -> LedgerRecord | None:
    if len(line.encode()) > MOST_RECORD_BYTES:
        return None
    try:
        return LedgerRecord.model_validate_json(line)
    except ValidationError:
        return None


def _line(record: LedgerRecord) -> str:
    return json.dumps(record.dump(), separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _age(record: LedgerRecord) -> tuple[datetime, str]:
    """A total order: of equal age, the text decides."""
    return record.finished_at or _BEGINNING, _line(record)


def _kind(record: LedgerRecord) -> object:
    end = record.crash.class_ if record.crash is not None else None
    return record.setup, tuple(sorted(record.parameters.items())), end, record.refused
