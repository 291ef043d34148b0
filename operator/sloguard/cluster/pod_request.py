"""What a pod asks of a node: resources, and which nodes it may run on, as the scheduler sees it. Pure."""

from collections.abc import Mapping
from typing import Final

from sloguard.cluster.objects import Object, listing, section, texts
from sloguard.domain.quantity import QuantityError, milli

PODS_RESOURCE: Final = "pods"

Amounts = dict[str, int]
"""By the resource's name, in thousandths."""


def is_gpu(resource: str) -> bool:
    """Extended resources of device plugins: nvidia.com/gpu, nvidia.com/mig-1g.5gb, amd.com/gpu, gpu.intel.com/i915."""
    maker, _, name = resource.partition("/")
    return bool(name) and ("gpu" in resource.lower() or (maker == "nvidia.com" and name.startswith("mig-")))


def amounts(stored: Mapping[str, object]) -> Amounts:
    """Quantities as they stand in an object; what is none is left out, since the API server takes no such."""
    found: Amounts = {}
    for name, quantity in stored.items():
        try:
            found[name] = milli(quantity)
        except QuantityError:
            continue
    return found


def requests_of(spec: Object) -> Amounts:
    """Of a pod's spec: all containers at once, or the hungriest init container before them; the pod itself is one."""
    sidecars, most = Amounts(), Amounts()
    for container in listing(spec, "initContainers"):
        own = _of_container(container)
        if container.get("restartPolicy") == "Always":
            sidecars = _sum(sidecars, own)
            most = _most(most, sidecars)
        else:
            most = _most(most, _sum(sidecars, own))
    running = sidecars
    for container in listing(spec, "containers"):
        running = _sum(running, _of_container(container))
    overhead = amounts(section(spec, "overhead"))
    return _sum(_sum(_most(running, most), overhead), {PODS_RESOURCE: 1000})


def limits_of(spec: Object) -> Amounts:
    """As a quota counts them: of the containers alone, or of the hungriest init container."""
    running, most = Amounts(), Amounts()
    for container in listing(spec, "containers"):
        running = _sum(running, amounts(section(container, "resources", "limits")))
    for container in listing(spec, "initContainers"):
        most = _most(most, amounts(section(container, "resources", "limits")))
    return _most(running, most)


def _of_container(container: Object) -> Amounts:
    """What has a limit and no request is requested up to its limit."""
    resources = section(container, "resources")
    return amounts(section(resources, "limits")) | amounts(section(resources, "requests"))


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def admits(node: Object, spec: Object) -> bool:
    """Whether taints, nodeName, nodeSelector and required node affinity let such a pod onto the node."""
    metadata = node["metadata"]
    labels = section(node, "metadata", "labels")
    if spec.get("nodeName") not in {None, "", metadata["name"]}:
        return False
    if not section(spec, "nodeSelector").items() <= labels.items():
        return False
    if not all(_tolerated(taint, listing(spec, "tolerations")) for taint in listing(node, "spec", "taints")):
        return False
    required = section(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = listing(required, "nodeSelectorTerms")
    return not required or any(_term_holds(term, labels, metadata["name"]) for term in terms)


def _tolerated(taint: Object, tolerations: list[Object]) -> bool:
    return taint.get("effect") == "PreferNoSchedule" or any(_tolerates(each, taint) for each in tolerations)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    key = toleration.get("key") or ""
    if key not in {"", taint.get("key")}:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _term_holds(term: Object, labels: Object, name: str) -> bool:
    """All of its requirements; a term without any holds nowhere."""
    expressions, fields = listing(term, "matchExpressions"), listing(term, "matchFields")
    return bool(expressions or fields) and (
        all(requirement_holds(each, labels) for each in expressions)
        and all(requirement_holds(each, {"metadata.name": name}) for each in fields)
    )


def requirement_holds(requirement: Object, labels: Object) -> bool:
    """Of a selector, for nodes or for pods: key, operator and values."""
    value, values = labels.get(requirement["key"]), texts(requirement, "values")
    match requirement.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            numbers = [text for text in (value, *values[:1]) if text is not None and text.lstrip("-").isdecimal()]
            if len(numbers) != len(("label", "bound")):
                return False
            return int(numbers[0]) > int(numbers[1]) if operator == "Gt" else int(numbers[0]) < int(numbers[1])
        case _:
            return False
