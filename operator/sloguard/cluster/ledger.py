"""The ledgers of a namespace: a ConfigMap for each model, GPU and version of vLLM, owned by nobody.

So it survives the studies that wrote it. Whoever may write ConfigMaps there may write to it, too: nothing in it is
taken for more than a hint (`domain.shared_ledger`). To forget what it holds, delete it.
"""

import hashlib
import logging
from datetime import datetime

from sloguard.cluster import clock
from sloguard.cluster.api import CONFIG_MAPS, Api, RefusedError
from sloguard.cluster.labels import LEDGER, LEDGER_GPU, LEDGER_MODEL, MANAGED_BY
from sloguard.cluster.objects import Object, section
from sloguard.domain.ledger import SCHEMA, LedgerRecord, Setup
from sloguard.domain.shared_ledger import Read, merged, read_text, shareable, text_of_records

logger = logging.getLogger("sloguard.ledger")

RECORDS = f"records-v{SCHEMA}.jsonl"
"""The key; another version of the form would use another one, and leaves this be."""

MOST_LEDGERS = 8
"""That are read for a model, and for a GPU: a ledger has up to a quarter of a MiB."""

MOST_TRIES = 4
"""To write, when others write at the same time."""


async def leave(api: Api, namespace: str, record: LedgerRecord) -> None:
    """The record is in its ledger when this returns, once, however often this is done.

    Raises:
        RefusedError: the API server said no; a conflict after MOST_TRIES others were faster.

    """
    now = clock.now()
    news = shareable(record, now)
    if news is None or not (news.setup.model or news.setup.gpu_name):
        return
    for attempt in range(1, MOST_TRIES + 1):
        try:
            if await _merge(api, namespace, news, now):
                return
        except RefusedError as error:
            if not error.conflict or attempt == MOST_TRIES:
                raise


async def _merge(api: Api, namespace: str, news: LedgerRecord, now: datetime) -> bool:
    """False where somebody else created the ledger meanwhile."""
    stored = await api.get(CONFIG_MAPS, namespace, ledger_name(news.setup))
    if stored is None:
        return await api.create(CONFIG_MAPS, namespace, _ledger(namespace, news.setup, [news])) is not None
    before = text_in(stored)
    records = merged([*read_text(before, now).records, news])
    if before != text_of_records(records):
        metadata = stored["metadata"]
        body = _ledger(namespace, news.setup, records)
        body["metadata"] |= {"resourceVersion": metadata["resourceVersion"]}
        for field in ("labels", "annotations"):
            body["metadata"][field] = section(metadata, field) | body["metadata"][field]
        body["data"] = section(stored, "data") | body["data"]
        await api.replace(CONFIG_MAPS, body)
    return True


async def read_ledgers(api: Api, namespace: str, here: Setup, now: datetime) -> Read:
    """Records of this model and of this GPU, oldest first."""
    wanted = [(LEDGER_MODEL, here.model), (LEDGER_GPU, here.gpu_name)]
    found: dict[str, Object] = {}
    for label, value in wanted:
        if value:
            for stored in await api.items(
                CONFIG_MAPS, namespace, labels=f"{LEDGER}=true,{label}={_mark(value)}", most=MOST_LEDGERS
            ):
                found[stored["metadata"]["name"]] = stored
    read = [read_text(text_in(stored), now) for stored in found.values()]
    records = {record.key: record for one in read for record in one.records}
    by_age = sorted(records.values(), key=lambda record: (record.finished_at or now, record.key))
    return Read(tuple(by_age), sum(one.passed_over for one in read))


def ledger_name(setup: Setup) -> str:
    """The GPU's memory is part of its name, as a rule; what trials saw of it differs by a driver's mood."""
    return f"sloguard-ledger-{_mark(setup.model, setup.gpu_name, setup.vllm_version)}"


def text_in(stored: Object) -> str:
    """A ConfigMap's records."""
    text = section(stored, "data").get(RECORDS, "")
    return text if isinstance(text, str) else ""


def _mark(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _ledger(namespace: str, setup: Setup, records: list[LedgerRecord]) -> Object:
    studies = len({(record.study, record.run) for record in records})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ledger_name(setup),
            "namespace": namespace,
            "labels": {
                MANAGED_BY: "sloguard",
                LEDGER: "true",
                LEDGER_MODEL: _mark(setup.model),
                LEDGER_GPU: _mark(setup.gpu_name),
            },
            "annotations": {
                f"{LEDGER}-model": setup.model or "unknown",
                f"{LEDGER}-gpu": setup.gpu_name or "unknown",
                f"{LEDGER}-vllm": setup.vllm_version or "unknown",
                f"{LEDGER}-holds": f"{len(records)} trials of {studies} studies: memory and crashes, never speed",
            },
        },
        "data": {RECORDS: text_of_records(records)},
    }
