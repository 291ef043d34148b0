"""Tasks that run beside reconciles, one a pod, for as long as a study has an interest in that pod."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Generic, TypeVar

Kept = TypeVar("Kept")

Key = tuple[str, str]
"""Namespace and name of a study."""


class PerPod(Generic[Kept]):
    """What such tasks have gathered, by the pod's UID. It is a help that a restart loses, and nothing rests on it."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._studies: dict[Key, set[str]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._kept

    def get(self, uid: str) -> Kept | None:
        return self._kept.get(uid)

    def begin(self, uid: str, kept: Kept, work: Coroutine[Any, Any, None], name: str) -> None:
        """For a pod that is not followed yet."""
        self._kept[uid] = kept
        self._tasks[uid] = asyncio.create_task(work, name=name)

    def keep(self, study: Key, uids: Iterable[str]) -> None:
        """Of this study's pods only these are of interest any more."""
        wanted = set(uids)
        for uid in self._studies.pop(study, set()) - wanted:
            self._kept.pop(uid, None)
            if (task := self._tasks.pop(uid, None)) is not None:
                task.cancel()
        if wanted:
            self._studies[study] = wanted

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._kept.clear()
        self._tasks.clear()
        self._studies.clear()
