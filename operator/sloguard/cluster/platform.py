"""What a trial ran on: the GPU by its node's labels (GPU feature discovery), vLLM's version by its log."""

import logging

from sloguard.api.v1alpha1 import Platform
from sloguard.cluster.api import NODES, Api, RefusedError
from sloguard.cluster.objects import Object, section
from sloguard.domain.ledger import version_in
from sloguard.domain.text import readable

logger = logging.getLogger("sloguard.platform")

PRODUCT = "nvidia.com/gpu.product"
MEMORY_MIB = "nvidia.com/gpu.memory"

MOST_MIB = 2**24


def platform_of(node: Object, log: str) -> Platform:
    """As far as it can be seen."""
    labels = section(node, "metadata", "labels")
    mib = str(labels.get(MEMORY_MIB, ""))
    known = mib.isascii() and mib.isdecimal() and 0 < int(mib[:9]) <= MOST_MIB
    return Platform(
        gpu_name=readable(str(labels.get(PRODUCT, "")), 128),
        gpu_memory_bytes=int(mib) * 2**20 if known else None,
        vllm_version=version_in(log),
    )


async def node_of(api: Api, pod: Object | None) -> Object:
    """The pod's node; nothing where it has none, or where it cannot be read: an operator of one namespace may not."""
    name = str(section(pod, "spec").get("nodeName") or "")
    if not name:
        return {}
    try:
        return await api.get(NODES, "", name) or {}
    except RefusedError as error:
        logger.debug("node %s cannot be read: %s", name, error)
        return {}
