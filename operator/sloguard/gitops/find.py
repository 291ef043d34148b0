"""Which of a file's containers, patches or values hold vLLM's arguments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sloguard.domain.container_command import is_explicit
from sloguard.gitops.edit import Found
from sloguard.gitops.errors import EditError
from sloguard.gitops.places import (
    ContainerPlace,
    EmbeddedPlace,
    OperationsPlace,
    Place,
    SettingsPlace,
    ValuePlace,
    own,
)
from sloguard.gitops.yaml_tree import Kind, Node, data, documents

_STEP = re.compile(r"(?P<key>(?:\\.|[^.\[\]\\])+)|\[(?P<index>\d+)\]|\[(?P<by>\w+)=(?P<is>[^\]]*)\]|\.")
_OF_ARGS = re.compile(r"/(args|command)(?:/(-|\d+))?$")
_IMAGE_OF_VLLM = re.compile(r"vllm", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which object and container are meant, where a file has several; empty for any."""

    kind: str = ""
    name: str = ""
    container: str = ""

    def fits(self, root: Node) -> bool:
        return self.kind in {"", text_at(root, "kind")} and self.name in {"", text_at(root, "metadata", "name")}


def text_at(node: Node | None, *path: str) -> str:
    """A scalar's text; empty where there is none."""
    for key in path:
        node = node.get(key) if node is not None and node.kind is Kind.MAPPING else None
    return node.value if node is not None and node.kind is Kind.SCALAR else ""


def in_manifest(text: str, wanted: Wanted) -> Found:
    """A container of any object that has some: Deployment, StatefulSet, LeaderWorkerSet, KServe's, and lists of them.

    Raises:
        EditError: there is none that is vLLM's, or more than one.

    """
    roots = documents(text)
    containers = [one for root in roots for one in _containers(root, wanted)]
    return Found(roots, *_only(containers, wanted))


def in_kustomize(text: str, wanted: Wanted) -> Found:
    """A strategic merge patch, JSON 6902 operations, or a kustomization that holds one of them.

    Raises:
        EditError: there is none that is vLLM's, or more than one.

    """
    roots = documents(text)
    if any(text_at(root, "kind") == "Kustomization" or _patches(root) for root in roots):
        return _in_kustomization(roots, wanted)
    if len(roots) == 1 and roots[0].kind is Kind.SEQUENCE:
        return Found(roots, *_in_operations(roots[0]))
    return in_manifest(text, wanted)


def in_values(text: str, path: str, wanted: Wanted) -> Found:
    """A path in a chart's values: in a values file, an Argo CD Application, a Flux HelmRelease; also any other path.

    Raises:
        EditError: the path leads nowhere, or to something that cannot hold arguments.

    """
    steps = _steps(path)
    roots = documents(text)
    applications = [root for root in roots if text_at(root, "kind") == "Application" and wanted.fits(root)]
    releases = [root for root in roots if text_at(root, "kind") == "HelmRelease" and wanted.fits(root)]
    if applications or releases:
        if len(applications) + len(releases) > 1:
            raise EditError("there are several Applications or HelmReleases; say which with --name")
        if releases:
            return Found(roots, _in_release(releases[0], steps, path), f"HelmRelease, {path}")
        return Found(roots, _in_application(applications[0], steps, path), f"Application, {path}")
    fitting = [root for root in roots if wanted.fits(root) and not root.is_null]
    if len(fitting) != 1:
        raise EditError(f"there are {len(fitting)} documents that {path} could be in; say which with --kind and --name")
    return Found(roots, _at(fitting[0], steps, path), path)


def _containers(root: Node, wanted: Wanted) -> Iterator[tuple[str, Node]]:
    """Title and container, wherever in an object a list of containers stands."""
    if root.kind is not Kind.MAPPING:
        return
    if text_at(root, "kind").endswith("List") and (items := root.get("items")) is not None:
        for item in items.items:
            yield from _containers(item, wanted)
        return
    if not wanted.fits(root):
        return
    title = f"{text_at(root, 'kind') or 'object'} {text_at(root, 'metadata', 'name')}".rstrip()
    for key, node in _walk(root):
        if key == "containers" and node.kind is Kind.SEQUENCE:
            for container in node.items:
                target = container.target or container
                yield f"{title}, container {text_at(target, 'name')}", container
        elif key == "model" and node.kind is Kind.MAPPING and text_at(root, "kind") == "InferenceService":
            yield f"{title}, container {text_at(node, 'name') or 'kserve-container'}", node
    if text_at(root, "kind") == "Model" and (spec := root.get("spec")) is not None and spec.kind is Kind.MAPPING:
        yield f"{title}, container model", spec


def _walk(node: Node) -> Iterator[tuple[str, Node]]:
    for key, value in node.pairs:
        yield key.value, value
        yield from _walk(value)
    for item in node.items:
        yield from _walk(item)


def _only(containers: list[tuple[str, Node]], wanted: Wanted) -> tuple[Place, str]:
    """The container that is meant, and its title."""
    named = [one for one in containers if not wanted.container or one[0].endswith(f"container {wanted.container}")]
    titles = "; ".join(title for title, _ in containers) or "none"
    if not named:
        raise EditError(f"no container fits; there are: {titles}. Say which with --kind, --name and --container")
    if len(named) > 1:
        serving = [one for one in named if _is_vllm(one[1])]
        if len(serving) != 1:
            raise EditError(
                f"{len(serving) or 'none'} of these can be told to be vLLM's: {titles}. Say which with --kind, --name "
                "and --container"
            )
        named = serving
    title, container = named[0]
    if container.kind is not Kind.MAPPING:
        raise EditError(
            f"{title}: line {container.line}: it is written elsewhere, through an anchor; write it out here"
        )
    return ContainerPlace(container), title


def _is_vllm(container: Node) -> bool:
    container = container.target or container
    if container.kind is not Kind.MAPPING:
        return False
    if _IMAGE_OF_VLLM.search(text_at(container, "image")):
        return True
    try:
        return is_explicit(ContainerPlace(container).read())
    except EditError:
        return False


def _patches(root: Node) -> list[tuple[Node, Node]]:
    """The patches that a kustomization holds as strings: each with the mapping that has it as `patch`."""
    found = root.get("patches") if root.kind is Kind.MAPPING else None
    if found is None or found.kind is not Kind.SEQUENCE:
        return []
    inline = [(item, item.get("patch")) for item in found.items if item.kind is Kind.MAPPING]
    return [(item, patch) for item, patch in inline if patch is not None and patch.kind is Kind.SCALAR]


def _in_kustomization(roots: list[Node], wanted: Wanted) -> Found:
    found: list[tuple[Place, str]] = []
    reasons: list[str] = []
    for root in roots:
        for owner, patch in _patches(root):
            try:
                inner = in_kustomize(patch.value, wanted)
            except EditError as error:
                reasons.append(str(error))
                continue
            place = EmbeddedPlace(owner, "patch", patch, inner.place, inner.rest())
            found.append((place, f"patch at line {patch.line}, {inner.title}"))
    if len(found) != 1:
        files = "; give the file that holds the patch, where it is one of its own" if not found else ""
        why = f" ({'; '.join(reasons)})" if reasons else ""
        raise EditError(f"{len(found) or 'none'} of the kustomization's own patches has vLLM's arguments{why}{files}")
    return Found(roots, *found[0])


def _in_operations(root: Node) -> tuple[Place, str]:
    """Of JSON 6902 operations: one with the whole list, or those that add a word each."""
    whole: list[Node] = []
    single: list[Node] = []
    for operation in root.items:
        path = text_at(operation, "path")
        matched = _OF_ARGS.search(path)
        if matched is None:
            continue
        if matched[2] == "-" and text_at(operation, "op") == "add" and matched[1] == "args":
            single.append(operation)
        elif matched[2] is None and matched[1] == "args" and text_at(operation, "op") in {"add", "replace"}:
            whole.append(operation)
        else:
            raise EditError(
                f"line {operation.line}: {text_at(operation, 'op')} {path} depends on what it is applied to; write one "
                "operation with the whole list, path .../args"
            )
    paths = {text_at(operation, "path") for operation in (*whole, *single)}
    if len(paths) > 1:
        raise EditError(f"operations change several lists: {', '.join(sorted(paths))}; keep each in its own file")
    if len(whole) == 1:
        return ValuePlace(whole[0], "value"), text_at(whole[0], "path")
    if whole or not single:
        raise EditError("no operation sets or adds to a container's args; write one with path .../containers/0/args")
    values = [own(operation, "value") for operation in single]
    scalars = [value for value in values if value is not None and value.kind is Kind.SCALAR]
    if len(scalars) != len(single):
        raise EditError(f"line {single[0].line}: an operation's value is no word; write one for each path .../args/-")
    return OperationsPlace(root, scalars, single), text_at(single[0], "path")


def _in_release(root: Node, steps: list["_Step"], path: str) -> Place:
    spec = root.get("spec")
    values = spec.get("values") if spec is not None and spec.kind is Kind.MAPPING else None
    if values is None:
        raise EditError(
            "the HelmRelease has no spec.values; if they come from a ConfigMap (valuesFrom), give its file and the "
            "path in it, such as data.values\\.yaml.a.b.args"
        )
    assert spec is not None, "it has values"
    return _at(_checked(own(spec, "values"), root), steps, path)


def _in_application(root: Node, steps: list["_Step"], path: str) -> Place:
    """The source whose values have the path; parameters come before values, as Argo CD has it."""
    found: list[Place] = []
    reasons: list[str] = []
    for helm in _helm_sources(root):
        try:
            found.append(_in_helm(helm, steps, path))
        except EditError as error:
            reasons.append(str(error))
    if len(found) != 1:
        raise EditError(
            f"{len(found) or 'none'} of the Application's sources has {path} in helm.parameters, helm.valuesObject or "
            f"helm.values{': ' + '; '.join(reasons) if reasons else ''}. Values from a file (valueFiles): give that"
        )
    return found[0]


def _helm_sources(root: Node) -> Iterator[Node]:
    spec = root.get("spec")
    if spec is None or spec.kind is not Kind.MAPPING:
        return
    source, sources = spec.get("source"), spec.get("sources")
    several = sources.items if sources is not None else []
    for one in [*([source] if source is not None else []), *several]:
        helm = one.get("helm") if one.kind is Kind.MAPPING else None
        if helm is not None and helm.kind is Kind.MAPPING:
            yield helm


def _in_helm(helm: Node, steps: list["_Step"], path: str) -> Place:
    parameters = own(helm, "parameters")
    for item in parameters.items if parameters is not None else []:
        name = text_at(item, "name")
        if name == path:
            return ValuePlace(item, "value")
        if name.startswith((f"{path}[", f"{path}.")):
            raise EditError(
                f"line {item.line}: helm.parameters sets {name}, one item by itself; set the whole list in "
                "helm.valuesObject instead"
            )
    if (values_object := own(helm, "valuesObject")) is not None:
        return _at(values_object, steps, path)
    values = own(helm, "values")
    if values is None or values.kind is not Kind.SCALAR:
        raise EditError("it has no values")
    return _embedded(helm, "values", values, steps, path)


_Step = str | int | tuple[str, str]


def _steps(path: str) -> list[_Step]:
    """`a.b[0].c`, `a[name=x].b`; a dot within a key is written with a backslash before it."""
    steps: list[_Step] = []
    at = 0
    while at < len(path):
        matched = _STEP.match(path, at)
        if matched is None:
            raise EditError(f"--path {path!r} cannot be read from {path[at:]!r} on; write it as a.b[0].args")
        if matched["key"] is not None:
            steps.append(re.sub(r"\\(.)", r"\1", matched["key"]))
        elif matched["index"] is not None:
            steps.append(int(matched["index"]))
        elif matched["by"] is not None:
            steps.append((matched["by"], matched["is"]))
        at = matched.end()
    if not steps or not isinstance(steps[-1], str):
        raise EditError(f"--path {path!r} should end with the key that holds the arguments, such as a.b[0].args")
    return steps


def _at(root: Node, steps: list[_Step], path: str) -> Place:
    """What a path leads to, through strings that are YAML themselves."""
    node = root
    for index, step in enumerate(steps[:-1]):
        owner = node
        node = _step(node, step, path)
        if node.kind is Kind.SCALAR and not node.is_null and isinstance(step, str):
            return _embedded(owner, step, node, steps[index + 1 :], path)
    last = steps[-1]
    assert isinstance(last, str), "_steps saw to it"
    node_at = _step(node, last, path)
    if node_at.kind is Kind.MAPPING:
        return SettingsPlace(_checked(own(node, last), node))
    if node_at.kind is Kind.SCALAR and "\n" in node_at.value and re.match(r"[#\w-]+:", _first_line(node_at.value)):
        inner = [one for one in documents(node_at.value) if one.kind is Kind.MAPPING]
        if len(inner) == 1:
            place = SettingsPlace(inner[0])
            return EmbeddedPlace(node, last, node_at, place, data(inner[0], place.skipped()))
    return ValuePlace(node, last)


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip() and not line.startswith(("#", "---"))), "")


def _embedded(owner: Node, key: str, scalar: Node, steps: list[_Step], path: str) -> Place:
    roots = [root for root in documents(scalar.value) if not root.is_null]
    if len(roots) != 1:
        raise EditError(f"line {scalar.line}: {key} should hold one YAML document")
    inner = _at(roots[0], steps, path)
    return EmbeddedPlace(owner, key, scalar, inner, data(roots[0], inner.skipped()))


def _step(node: Node, step: _Step, path: str) -> Node:
    if isinstance(step, str):
        found = own(node, step)
        if found is None:
            keys = ", ".join(key.value for key, _ in node.pairs) or "none"
            raise EditError(f"line {node.line}: {path}: there is no {step}; the keys there are: {keys}")
        return found
    if node.kind is not Kind.SEQUENCE or node.shared:
        raise EditError(f"line {node.line}: {path}: there should be a list of its own, not {node.kind.value}")
    if isinstance(step, int):
        fitting = node.items[step : step + 1]
    else:
        fitting = [item for item in node.items if text_at(item, step[0]) == step[1]]
    if len(fitting) != 1:
        raise EditError(f"line {node.line}: {path}: {len(fitting)} of the list's {len(node.items)} items fit {step}")
    return fitting[0]


def _checked(node: Node | None, where: Node) -> Node:
    if node is None:
        raise EditError(f"line {where.line}: there is nothing there")
    return node
