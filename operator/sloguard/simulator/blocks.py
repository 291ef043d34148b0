"""Blocks of KV cache with prefix caching: reference counts, and least recently used free blocks are evicted first.

As vLLM's BlockPool: a full block of prompt tokens is known by a hash that includes its predecessor's, and a freed
block keeps its content until somebody needs the room.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def block_hashes(tokens: Sequence[int], block_size: int) -> list[int]:
    """A chained hash for every full block."""
    result: list[int] = []
    previous = 0
    for start in range(0, len(tokens) - block_size + 1, block_size):
        previous = hash((previous, *tokens[start : start + block_size]))
        result.append(previous)
    return result


class BlockPool:
    """A fixed number of blocks; ids are 0..count-1."""

    def __init__(self, count: int, *, caching: bool) -> None:
        self.count = count
        self._caching = caching
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(count))
        self._references = [0] * count
        self._hash_of: dict[int, int] = {}
        self._block_of: dict[int, int] = {}

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def usage(self) -> float:
        """Share of blocks that some request holds, 0 to 1."""
        return 1.0 - len(self._free) / self.count if self.count else 0.0

    def cached_prefix(self, hashes: Sequence[int]) -> list[int]:
        """Blocks that hold the longest known prefix."""
        found: list[int] = []
        for block_hash in hashes:
            block = self._block_of.get(block_hash)
            if block is None:
                break
            found.append(block)
        return found

    def idle_among(self, blocks: Sequence[int]) -> int:
        """How many of these would leave the free list when taken."""
        return sum(1 for block in blocks if not self._references[block])

    def share(self, blocks: Sequence[int]) -> None:
        """Takes a reference on cached blocks."""
        for block in blocks:
            if not self._references[block]:
                del self._free[block]
            self._references[block] += 1

    def allocate(self, number: int) -> list[int]:
        """Takes free blocks, the least recently used first; there must be enough."""
        taken: list[int] = []
        for _ in range(number):
            block, _ = self._free.popitem(last=False)
            self._forget(block)
            self._references[block] = 1
            taken.append(block)
        return taken

    def remember(self, block: int, block_hash: int) -> None:
        """Says what a full block holds, so that others can share it."""
        if self._caching and block_hash not in self._block_of:
            self._forget(block)
            self._hash_of[block] = block_hash
            self._block_of[block_hash] = block

    def release(self, blocks: Sequence[int]) -> None:
        """Gives references back; the tail of a prompt becomes evictable before its head."""
        for block in reversed(blocks):
            self._references[block] -= 1
            if not self._references[block]:
                self._free[block] = None

    def _forget(self, block: int) -> None:
        known = self._hash_of.pop(block, None)
        if known is not None:
            del self._block_of[known]
