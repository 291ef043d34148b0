"""Finished trials beyond spec.historyLimit: kept as text in ConfigMaps of the study, and their objects removed.

What the search, the gate and the budget read of a trial is kept to the last digit, so that nothing is decided
otherwise. A part is written first, then its digest into the study's status, and only then are its objects removed: cut
short anywhere it is done again. Without the digest, which only the operator can write, whoever may write ConfigMaps
could make up measurements.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sloguard.api.v1alpha1 import HistoryPart, Purpose, Study, Trial
from sloguard.cluster.api import CONFIG_MAPS, STUDIES, TRIALS, Api, RefusedError
from sloguard.cluster.labels import HISTORY, STUDY
from sloguard.cluster.objects import Object, section
from sloguard.cluster.records import kept_for_good, owner_of
from sloguard.engine.actions import Event, EventType
from sloguard.engine.known import latest_attempts
from sloguard.engine.promotion import is_under_way
from sloguard.engine.snapshot import Snapshot

logger = logging.getLogger("sloguard.history")

TRIALS_KEY = "trials-v1.jsonl"

MOST_OF_A_PART = 40
MOST_PART_BYTES = 75 * 1024
MOST_PARTS = 64
"""So many the status holds; a study that needs more keeps its objects."""

MOST_SAID = 200
"""Characters of reasons and messages, which no decision reads."""


@dataclass(frozen=True, slots=True)
class History:
    """Stored objects of trials that have none of their own, by name; and the names of those that still have one."""

    trials: Mapping[str, Object] = field(default_factory=dict[str, Object])
    doubled: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()


async def read_history(api: Api, namespace: str, study: Study, there: Mapping[str, Object]) -> History:
    """`there` are the trials that have objects."""
    parts = study.status.history
    if not parts:
        return History()
    labels = f"{STUDY}={study.name},{HISTORY}=true"
    found = await api.items(CONFIG_MAPS, namespace, labels=labels, most=2 * MOST_PARTS)
    texts = {stored["metadata"]["name"]: str(section(stored, "data").get(TRIALS_KEY, "")) for stored in found}
    told: dict[str, Object] = {}
    lost: list[HistoryPart] = []
    for part in parts:
        text = texts.get(part.config_map, "")
        if _digest(text) == part.sha256:
            told |= {stored["metadata"]["name"]: stored for stored in _objects(study, text)}
        else:
            lost.append(part)
    gone = {name: stored for name, stored in told.items() if name not in there}
    return History(gone, tuple(name for name in told if name in there), tuple(map(_lost, lost)))


def next_part(snapshot: Snapshot, history: History) -> tuple[Trial, ...]:
    """The oldest trials that nothing rests on, where there are too many of them; else none."""
    study = snapshot.study
    status = study.status
    if study.metadata.deletion_timestamp is not None or len(status.history) >= MOST_PARTS:
        return ()
    if is_under_way(status.promotion):
        return ()
    told = {*history.trials, *history.doubled}
    objects = [trial for trial in snapshot.trials if trial.name not in told]
    needed = _needed(study, snapshot.trials)
    free = [t for t in objects if t.finished and t.name not in needed and t.name not in snapshot.observations]
    if len(free) < study.spec.history_limit + MOST_OF_A_PART:
        return ()
    chosen: list[Trial] = []
    size = 0
    for trial in free[:MOST_OF_A_PART]:
        size += len(_line(trial).encode()) + 1
        if size > MOST_PART_BYTES and chosen:
            break
        chosen.append(trial)
    return tuple(chosen)


async def _write_part(api: Api, stored: Object, study: Study, part: Iterable[Trial]) -> None:
    """The study's status tells of it when this returns; its objects are removed at the next look.

    Raises:
        RefusedError: somebody changed the study meanwhile, or the API server said no.

    """
    trials = tuple(part)
    text = "".join(f"{_line(trial)}\n" for trial in trials)
    digest = _digest(text)
    name = f"{study.name}-history-{digest[:10]}"
    body = kept_for_good(study, name, {TRIALS_KEY: text}, {HISTORY: "true"})
    await api.create(CONFIG_MAPS, study.metadata.namespace or "", body)
    told = [*study.status.history, HistoryPart(config_map=name, sha256=digest, trials=len(trials))]
    # Of what is stored: what this look only derived is written by the plan that follows from it.
    status = section(stored, "status") | {"history": [each.dump() for each in told]}
    await api.replace_status(STUDIES, stored | {"status": status})
    logger.info("%d trials are kept in ConfigMap %s", len(trials), name, extra={"study": study.name})


async def tidy(api: Api, stored: Object, snapshot: Snapshot, history: History) -> bool:
    """Whether the study's status was written, so that it has to be looked at again.

    Raises:
        RefusedError: somebody changed the study meanwhile, or the API server could not do it now.

    """
    namespace = snapshot.study.metadata.namespace or ""
    try:
        await _remove_doubled(api, namespace, history)
        part = next_part(snapshot, history)
        if part:
            await _write_part(api, stored, snapshot.study, part)
    except RefusedError as error:
        if error.passing:
            raise
        # Without the right to do it the study goes on, with all of its objects.
        logger.warning("finished trials stay objects: %s", error.message, extra={"study": snapshot.study.name})
        return False
    return bool(part)


async def _remove_doubled(api: Api, namespace: str, history: History) -> None:
    """Objects of trials that are told of by a part that counts."""
    for name in history.doubled:
        await api.delete(TRIALS, namespace, name)


def slim(trial: Trial) -> Trial:
    """Without what no decision reads: latencies and the server's view of them, conditions, the ends of long texts."""
    status = trial.status
    bare: dict[str, object] = {"latencies": [], "server": None, "server_view": None}
    kept: dict[str, object] = {
        "measurements": [rate.model_copy(update=bare) for rate in status.measurements],
        "conditions": [],
        "message": status.message[:MOST_SAID],
    }
    spec = trial.spec.model_copy(update={"reason": trial.spec.reason[:MOST_SAID]})
    return trial.model_copy(update={"spec": spec, "status": status.model_copy(update=kept)})


def _needed(study: Study, trials: Iterable[Trial]) -> set[str]:
    """By name: what people look for, and the latest attempts of all that is repeated or held against others."""
    status = study.status
    latest = latest_attempts(trials)
    repeated = [t.spec.parameters for t in latest if t.spec.purpose is Purpose.CONFIRM]
    needed = {
        t.name
        for t in latest
        if t.spec.purpose is not Purpose.SEARCH or t.spec.parameters in repeated or not t.finished
    }
    scored = (status.baseline, status.best, status.recommendation, status.promotion)
    needed |= {one.trial for one in scored if one is not None}
    needed |= {point.trial for point in status.front}
    return needed | {study.spec.promotion.approved_trial}


def _line(trial: Trial) -> str:
    bare = slim(trial).dump()
    metadata = {"name": trial.name, "uid": trial.metadata.uid}
    return json.dumps({"metadata": metadata, "spec": bare["spec"], "status": bare["status"]}, separators=(",", ":"))


def _objects(study: Study, text: str) -> list[Object]:
    """As the API server would have stored them."""
    objects: list[Object] = []
    for line in text.splitlines():
        told: Object = json.loads(line)
        own = {
            "namespace": study.metadata.namespace,
            "labels": {STUDY: study.name},
            "ownerReferences": [owner_of(study)],
        }
        objects.append(
            {
                "apiVersion": study.api_version,
                "kind": "SLOGuardTrial",
                "metadata": section(told, "metadata") | own,
                "spec": section(told, "spec"),
                "status": section(told, "status"),
            }
        )
    return objects


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _lost(part: HistoryPart) -> Event:
    message = (
        f"ConfigMap {part.config_map}, which held {part.trials} finished trials, is gone or was changed: "
        "they no longer count"
    )
    return Event(f"history-lost-{part.config_map}", "HistoryLost", message, EventType.WARNING)
