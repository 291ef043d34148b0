"""Random changes to good studies, by the definitions' own schema: limits just met and just broken, odd texts, gaps."""

import copy
from typing import Any

from hypothesis import strategies as st

from sloguard.api import crd
from sloguard.api.v1alpha1 import Study
from tests.unit.api.studies import GOOD_STUDIES, Object

SCHEMA = crd.schema(Study)

TEXTS = (
    "",
    "a",
    "A-b",
    "a.b",
    "a_b",
    "-a",
    "a-",
    "a" * 41,
    "a" * 65,
    "a" * 254,
    "fp8",
    "--flag",
    "0",
    "0.95",
    "1",
    "1.0001",
    "1.",
    "00012.5",
    "64",
    "32k",
    "true",
    "false",
    "True",
    "auto",
    "a\n",
    "é",
    "\u0663",  # a digit to Python's \d, not to ours
    "llama-8b-3-1",
    "llama-8b",
)
ZONES = (
    "Etc/UTC",
    "UTC",
    "Europe/Paris",
    "europe/paris",
    "America/Argentina/Ushuaia",
    "America",
    "EST",
    "CET",
    "GMT+1",
)
ZONES_WRONG = ("Local", "", "/", "..", "+01:00", "Mars/Olympus", "Europe/ Paris", "GMT+99")


def cron() -> st.SearchStrategy[str]:
    """Schedules of the right shape, most of them nearly right."""
    number = st.one_of(st.integers(0, 8), st.sampled_from([12, 13, 23, 24, 28, 29, 30, 31, 32, 59, 60])).map(str)
    name = st.sampled_from(["MON", "fri", "SUN", "sat", "JAN", "feb", "DEC", "Xyz"])
    value = st.one_of(st.just("*"), number, number, name, st.sampled_from(["07", "", "?", "L"]))
    span = st.one_of(value, value, st.builds("{}-{}".format, value, value))
    item = st.one_of(span, span, st.builds("{}/{}".format, span, number))
    field = st.one_of(item, item, st.lists(item, min_size=2, max_size=3).map(",".join))
    likely = st.tuples(*(st.one_of(st.just("*"), st.just("1"), field) for _ in range(5)))
    return st.one_of(likely, likely, likely, st.lists(field, max_size=7)).map(" ".join)


def _integer(schema: Object, *, odd: bool) -> st.SearchStrategy[Any]:
    within = st.integers(schema.get("minimum", 0), schema.get("maximum", 5000))
    if not odd:
        return within
    edges = [schema[end] + step for end in ("minimum", "maximum") if end in schema for step in (-1, 0, 1)]
    return st.sampled_from([*edges, -1, 100, "5", 1.5, True])


def _text(name: str, schema: Object, *, odd: bool) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], *(["Another", 3] if odd else [])])
    match name:
        case "schedule":
            return cron() if odd else st.sampled_from(["0 1 * * *", "*/5 22-23,0-4 1,15 JAN-jun MON-fri"])
        case "timeZone":
            return st.sampled_from(ZONES_WRONG if odd else ZONES)
        case "min" | "max":
            return st.sampled_from(TEXTS if odd else ["0.1", "0.9", "1"])
        case _:
            return st.sampled_from((*TEXTS, 7, False) if odd else ["64", "128", "true", "false", "fp8"])


@st.composite
def _value(draw: st.DrawFn, name: str, schema: Object, odd: bool) -> Any:
    """A value for a field; an odd one is at a limit, past it, or of another type."""
    match schema["type"]:
        case "integer":
            return draw(_integer(schema, odd=odd))
        case "string":
            return draw(_text(name, schema, odd=odd))
        case "boolean":
            return draw(st.sampled_from([True, False, "yes"] if odd else [True, False]))
        case "array":
            items = [draw(_value(name, schema["items"], odd)) for _ in range(draw(st.integers(odd is False, 3)))]
            return (items * 9)[: draw(st.sampled_from([2, 3, 9]))] if odd else items
        case _:
            fields = schema["properties"]
            chosen = [each for each in fields if each in schema.get("required", ()) or draw(st.booleans())]
            return {each: draw(_value(each, fields[each], odd)) for each in chosen}


def _places(value: Any, schema: Object, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Object]]:
    """Every field that a study has or could have, with its schema."""
    places = [(path, schema)]
    if isinstance(value, dict):
        for name, field in schema.get("properties", {}).items():
            places += _places(value.get(name), field, (*path, name))
    if isinstance(value, list):
        for index, item in enumerate(value):
            places += _places(item, schema["items"], (*path, index))
    return places


@st.composite
def studies(draw: st.DrawFn) -> Object:
    """A good study after up to three changes; a third of them are still good."""
    study = copy.deepcopy(GOOD_STUDIES[draw(st.sampled_from(sorted(GOOD_STUDIES)))])
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2, 3]))):
        # The deeper a field, the less a change of it changes: those above come up seldom of themselves.
        path, schema = draw(st.sampled_from(_places(study["spec"], SCHEMA["properties"]["spec"])[1:]))
        *above, last = path
        place = study["spec"]
        for part in above:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if isinstance(place, dict) and draw(st.integers(0, 5)) == 0:
            place.pop(last, None)
        else:
            place[last] = draw(_value(str(last), schema, draw(st.sampled_from([False, False, True]))))
    return study
