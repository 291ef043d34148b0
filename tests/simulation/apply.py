"""Server-side apply, as far as Deployments' containers and Services need it. Pure."""

from typing import Any

Object = dict[str, Any]

KEYS = {"containers": ("name",), "ports": ("port", "protocol"), "ownerReferences": ("uid",)}
"""Lists that are maps by these fields; of other lists the whole is replaced, and so are the maps of ATOMIC."""

ATOMIC = {"selector"}


def applied(before: Object, wanted: Object, manager: str) -> Object:
    """`before` with the wanted fields; what the manager applied earlier and now leaves out goes."""
    entries = before["metadata"].get("managedFields", [])
    own = next((e for e in entries if e["manager"] == manager and e["operation"] == "Apply"), None)
    fields = {part: _fields(wanted[part]) for part in ("spec",) if part in wanted}
    owned = {f"f:{part}": inner for part, inner in fields.items()}
    result = _laid(before, {k: v for k, v in wanted.items() if k != "metadata"})
    if own is not None:
        _drop(result, own["fieldsV1"], owned)
    said = {k: v for k, v in wanted["metadata"].items() if k not in {"resourceVersion", "uid"}}
    result["metadata"] = _laid(before["metadata"], said)
    entry = {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": owned}
    result["metadata"]["managedFields"] = [e for e in entries if e is not own] + [entry]
    return result


def _laid(before: Any, wanted: Any, name: str = "") -> Any:
    if isinstance(wanted, dict) and isinstance(before, dict) and name not in ATOMIC:
        return before | {key: _laid(before.get(key), value, key) for key, value in wanted.items()}
    if name in KEYS and isinstance(before, list):
        keys = KEYS[name]
        new = {_identity(item, keys): item for item in wanted}
        kept = [_laid(item, new.pop(_identity(item, keys), {})) for item in before]
        return kept + list(new.values())
    return wanted


def _identity(item: Object, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in keys)


def _fields(value: Any) -> Object:
    """FieldsV1 of a value: names, and the keys of containers; other lists are leaves."""
    result: Object = {}
    for name, inner in value.items():
        if name == "containers":
            result["f:containers"] = {f'k:{{"name":"{item["name"]}"}}': _fields(item) for item in inner}
        else:
            result[f"f:{name}"] = _fields(inner) if isinstance(inner, dict) and name not in ATOMIC else {}
    return result


def _drop(result: Any, owned_before: Object, owned_now: Object) -> None:
    for mark, inner in owned_before.items():
        if mark.startswith("k:"):
            name = mark.split('"')[3]
            found = next((item for item in result if item["name"] == name), None)
            if found is not None:
                _drop(found, inner, owned_now.get(mark, {}))
            continue
        name = mark.removeprefix("f:")
        if not isinstance(result, dict) or name not in result:
            continue
        if mark not in owned_now and not inner:
            del result[name]
        else:
            _drop(result[name], inner, owned_now.get(mark, {}))
