"""Host memory as a real server takes it (`--host-memory`): allocated and touched, so that a limit really kills.

    base                160 MiB   an interpreter with its modules; a real one has about 3 GiB, too much for a test
    token_ids_cpu       4 B x max_num_seqs x max_model_len     vLLM's InputBatch keeps every sequence's token ids
    is_token_ids        1 B x max_num_seqs x max_model_len     and a mask of the same shape
    block tables        4 B x max_num_seqs x ceil(max_model_len / block_size)
    sampling buffers    64 B x max_num_seqs

At max_model_len 8192, 64 sequences add 3 MiB, 256 add 11 MiB and 1024 add 42 MiB; 4096 sequences at 32768 add 673 MiB.
"""

from __future__ import annotations

import mmap

MIB = 1024**2
BASE_BYTES = 160 * MIB
PAGE_BYTES = 4096
_CHUNK_BYTES = 16 * MIB


def host_bytes(max_num_seqs: int, max_model_len: int, block_size: int) -> int:
    """Bytes beyond the base."""
    per_sequence = 5 * max_model_len + 4 * -(-max_model_len // block_size) + 64
    return max_num_seqs * per_sequence


class HostMemory:
    """Holds touched anonymous pages until it is dropped."""

    def __init__(self) -> None:
        self._held: list[mmap.mmap] = []

    @property
    def held_bytes(self) -> int:
        return sum(len(chunk) for chunk in self._held)

    def take(self, number_of_bytes: int) -> None:
        """Allocates and writes to every page; the kernel may kill the process here."""
        while number_of_bytes > 0:
            size = min(number_of_bytes, _CHUNK_BYTES)
            chunk = mmap.mmap(-1, max(size, PAGE_BYTES))
            for offset in range(0, len(chunk), PAGE_BYTES):
                chunk[offset] = 1
            self._held.append(chunk)
            number_of_bytes -= size
