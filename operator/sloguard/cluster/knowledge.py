"""What a study's search begins with of earlier studies: chosen once, kept in a ConfigMap of the study's own.

The namespace's ledgers change while a study runs. It must make the same choices whatever happens meanwhile, so what it
takes is written down first, immutable and owned by the study, and read from there at every ask.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from sloguard.api.v1alpha1 import Knowledge, KnowledgeStatus, Study, Trial
from sloguard.cluster import clock
from sloguard.cluster.api import CONFIG_MAPS, Api, RefusedError
from sloguard.cluster.labels import knowledge_name
from sloguard.cluster.ledger import RECORDS, leave, read_ledgers, text_in
from sloguard.cluster.objects import Object, owned_by
from sloguard.cluster.records import kept_for_good
from sloguard.domain.ledger import EMPTY, Ledger, nearest, record_of, setup_of
from sloguard.domain.shared_ledger import MOST_RECORD_BYTES, Read, merged, read_text, text_of_records
from sloguard.engine.actions import Event, EventType
from sloguard.engine.arms import taught
from sloguard.engine.candidates import DEFAULT_NUMBER, PRODUCTION_NUMBER
from sloguard.engine.known import latest_attempts
from sloguard.engine.snapshot import LoadState, Observation, ServerState
from sloguard.engine.target_change import first_trial, present_trials

logger = logging.getLogger("sloguard.ledger")

MOST_TAKEN = 120
"""Records: as many as margin-bo looks at."""

MOST_TAKEN_BYTES = 96 * 1024

_NAMED = 5
"""Studies that an event names."""


@dataclass(frozen=True, slots=True)
class Taken:
    """`ledger` is None as long as nothing is searched. `status` is new, and `body` is written before it."""

    ledger: Ledger | None = None
    status: KnowledgeStatus | None = None
    body: Object | None = None
    events: tuple[Event, ...] = ()


async def knowledge_of(
    api: Api, namespace: str, study: Study, trials: tuple[Trial, ...], seen: dict[str, Observation]
) -> Taken:
    """Read only when a trial may be asked for, since it is large."""
    if study.spec.knowledge is Knowledge.ISOLATED:
        return Taken(EMPTY)
    production = _measured_production(present_trials(study, trials)[1])
    if production is None or not _may_ask(study, trials, seen):
        return Taken()
    here, known = setup_of(production), study.status.knowledge
    if known is None:
        return await _begin(api, namespace, study, production)
    if not known.records:
        return Taken(Ledger(here))
    stored = await api.get(CONFIG_MAPS, namespace, known.config_map)
    if stored is None or not owned_by(stored, study.metadata.uid):
        return Taken(Ledger(here), events=(_lost(known.config_map),))
    # What was believed when it was taken is believed for good: the study's clock is its own.
    return Taken(Ledger(here, read_text(text_in(stored), known.taken_at).records))


async def leave_behind(api: Api, study: Study, trial: Trial) -> Event | None:
    """What a finished trial teaches others, before it is called finished: so it is not forgotten, and left once.

    Raises:
        RefusedError: the API server could not do it now.

    """
    if study.spec.knowledge is Knowledge.ISOLATED:
        return None
    record = record_of(trial, study.metadata.uid, setup_of(trial))
    if record is None:
        return None
    try:
        await leave(api, study.metadata.namespace or "", record)
    except RefusedError as error:
        if error.passing:
            raise
        message = (
            f"what {trial.name} taught of memory and crashes is not left to later studies: {error.message}. Let the "
            "operator write ConfigMaps (charts/manifests/rbac.yaml), or set spec.knowledge to Isolated"
        )
        return Event("knowledge-not-left", "KnowledgeNotLeft", message, EventType.WARNING)
    return None


async def keep(api: Api, namespace: str, taken: Taken) -> Taken:
    """Written down, or where that is not granted, nothing.

    Raises:
        RefusedError: somebody was faster, perhaps with other contents; or the API server could not do it now.

    """
    if taken.body is None:
        return taken
    try:
        if await api.create(CONFIG_MAPS, namespace, taken.body):
            return taken
    except RefusedError as error:
        if error.passing:
            raise
        return _without(clock.now(), f"what it took cannot be written down: {error.message}")
    raise RefusedError(HTTPStatus.CONFLICT, f"ConfigMap {taken.body['metadata']['name']} exists")


async def _begin(api: Api, namespace: str, study: Study, production: Trial) -> Taken:
    name, now = knowledge_name(study.name, first_trial(study)), clock.now()
    try:
        stored = await api.get(CONFIG_MAPS, namespace, name)
        if stored is None:
            read = await read_ledgers(api, namespace, setup_of(production), now)
            return _chosen(study, read, production, now)
    except RefusedError as error:
        if error.passing:
            raise
        return _without(now, f"the namespace's ledgers cannot be read: {error.message}")
    if not owned_by(stored, study.metadata.uid):
        return _without(now, f"ConfigMap {name} exists and is not this study's; remove it before a study is created")
    # It was written, and the operator killed before it could say so.
    read = read_text(text_in(stored), now)
    return Taken(status=_status(name, read, now), events=_told(read, first_trial(study)))


def _chosen(study: Study, read: Read, production: Trial, now: datetime) -> Taken:
    others = [record for record in read.records if record.run != study.metadata.uid]
    records = nearest(others, setup_of(production), MOST_TAKEN)
    while len(text_of_records(records).encode()) > MOST_TAKEN_BYTES:
        records = nearest(records, setup_of(production), len(records) - MOST_TAKEN_BYTES // MOST_RECORD_BYTES // 4)
    chosen = Read(tuple(merged(records)), read.passed_over)
    name = knowledge_name(study.name, first_trial(study)) if chosen.records else ""
    return Taken(
        status=_status(name, chosen, now),
        body=kept_for_good(study, name, {RECORDS: text_of_records(chosen.records)}) if chosen.records else None,
        events=_told(chosen, first_trial(study)),
    )


def _status(name: str, read: Read, now: datetime) -> KnowledgeStatus:
    studies = len({(record.study, record.run) for record in read.records})
    return KnowledgeStatus(
        taken_at=now, records=len(read.records), studies=studies, passed_over=read.passed_over, config_map=name
    )


def _told(read: Read, first: int) -> tuple[Event, ...]:
    events: list[Event] = []
    if read.records:
        names = sorted({record.study for record in read.records})
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        message = (
            f"The search begins with what {len(read.records)} trials of earlier studies found of memory and crashes: "
            f"{', '.join(names[:_NAMED])}{more}"
        )
        events.append(Event(f"knowledge-taken-{first}", "KnowledgeTaken", message))
    if read.passed_over:
        message = (
            f"{read.passed_over} lines of the namespace's ledgers are no records of trials and were passed over; "
            "ConfigMaps labelled sloguard.dev/ledger may be deleted to begin anew"
        )
        events.append(Event(f"knowledge-damaged-{first}", "LedgerDamaged", message, EventType.WARNING))
    return tuple(events)


def _without(now: datetime, why: str) -> Taken:
    event = Event("knowledge-missing", "KnowledgeMissing", f"The search begins without it: {why}", EventType.WARNING)
    return Taken(status=KnowledgeStatus(taken_at=now), events=(event,))


def _lost(name: str) -> Event:
    message = f"ConfigMap {name}, with what the search began with of earlier studies, is gone; it goes on without"
    return Event("knowledge-lost", "KnowledgeLost", message, EventType.WARNING)


def _measured_production(trials: tuple[Trial, ...]) -> Trial | None:
    """Once both baselines are known."""
    baselines = {t.spec.number: t for t in latest_attempts(trials)}
    first, second = baselines.get(PRODUCTION_NUMBER), baselines.get(DEFAULT_NUMBER)
    return first if first is not None and second is not None and taught(first) and taught(second) else None


def _may_ask(study: Study, trials: tuple[Trial, ...], seen: dict[str, Observation]) -> bool:
    """Whether the planner may want another trial of the search now, as far as it can be told before it has looked."""
    status = study.status
    if status.finished_at is not None or status.promotion is not None or study.spec.suspend:
        return False
    if study.metadata.deletion_timestamp is not None:
        return False
    busy = [t for t in trials if not t.finished and not _ending(seen.get(t.name, Observation()))]
    return len(busy) < study.spec.trial.parallelism


def _ending(seen: Observation) -> bool:
    return seen.server.state is ServerState.ENDED or seen.load.state in {LoadState.DONE, LoadState.FAILED}
