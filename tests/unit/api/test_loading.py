"""What people read when a file is wrong: whole messages, as they come out."""

import pytest
import yaml

from sloguard.api.loading import MAX_PROBLEMS, StudyFileError, load_study
from tests.unit.api.studies import BASE, changed

HEAD = "apiVersion: sloguard.dev/v1alpha1\nkind: SLOGuardStudy\nmetadata: {name: llama-8b}\n"
SPEC = """\
spec:
  target: {name: llama-8b, container: vllm}
  slos:
  - {metric: TTFT, milliseconds: 500}
  workload:
    arrival: {requestsPerMinute: 60}
    promptTokens: {mean: 1024}
    outputTokens: {mean: 128}
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Named without its folder, so that the messages are the same everywhere."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "study.yaml"


def complaint(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StudyFileError) as caught:
        load_study(path.name)
    return str(caught.value)


WHOLE_FILES = {
    "empty": ("", "is empty; write a study: kind, metadata.name and spec"),
    "only comments": ("# nothing\n---\n", "is empty; write a study: kind, metadata.name and spec"),
    "two documents": (HEAD + SPEC + "---\n" + HEAD, "line 13: holds 2 documents; give each a file of its own"),
    "a text": ("hello\n", 'line 1: "hello" is not a study; write apiVersion, kind, metadata and spec'),
    "a list": ("- 1\n", "line 1: a list is not a study; write apiVersion, kind, metadata and spec"),
    "latin-1": (HEAD.encode() + "# é\n".encode("latin-1"), "line 4: is not UTF-8 text; save the file as UTF-8"),
    "bad indent": (
        HEAD + "spec:\n  slos: 1\n target: 2\n",
        "line 6: column 2: expected <block end>, but found '<block mapping start>'; this is not YAML",
    ),
    "open bracket": (
        HEAD + "spec: {slos: [\n",
        "line 5: column 1: expected the node content, but found '<stream end>'; this is not YAML",
    ),
    "tab": (
        HEAD + "spec:\n\tslos: 1\n",
        "line 5: column 1: found character '\\t' that cannot start any token; this is not YAML",
    ),
    "control character": (HEAD + "\x07", "line 4: holds the control character 0x7, which YAML forbids; remove it"),
    "alias of nothing": (HEAD + "spec: *base\n", "line 4: column 7: found undefined alias 'base'; this is not YAML"),
    "alias of itself": (HEAD + "spec: &a {target: *a}\n", "is nested too deeply; a study has about eight levels"),
    "deep": ("[" * 20_000, "is nested too deeply; a study has about eight levels"),
    "huge": ("#" * 1_100_000, "has more than 1 MiB; a study has a few hundred lines"),
    "another kind": (
        "apiVersion: apps/v1\nkind: Deployment\n",
        (
            'apiVersion (line 1): "apps/v1" is not what is read here; write sloguard.dev/v1alpha1\n'
            '  kind (line 2): "Deployment" is not what is read here; write SLOGuardStudy'
        ),
    ),
    "no kind": (
        "metadata: {name: a}\n",
        (
            "apiVersion: is missing; write apiVersion: sloguard.dev/v1alpha1\n"
            "  kind: is missing; write kind: SLOGuardStudy"
        ),
    ),
}


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_file_that_is_no_study(name, path):
    content, message = WHOLE_FILES[name]
    assert complaint(path, content) == f"study.yaml is not a valid study:\n  {message}"


OF_SPEC = (
    "target, slos, objective, measurement, workload, searchSpace, optimizer, budget, trial, knowledge, "
    "onTargetChange, historyLimit, windows, suspend, promotion"
)
FIELDS = {
    "a key twice": (
        "  suspend: true\n  suspend: false\n",
        "spec.suspend (line 13): is given twice, first on line 12; remove one",
    ),
    "a key that is no text": ("  1: 2\n", "spec (line 12): key 1 is not text; put it in quotes or use a field's name"),
    "a merge": ("  <<: {suspend: true}\n", "spec (line 12): key << is not text; write the fields out"),
    "a tag": (
        "  suspend: !!python/none\n",
        "spec.suspend (line 12): has the tag tag:yaml.org,2002:python/none, which means nothing here; remove it",
    ),
    "no number": (
        "  budget: {trials: .inf}\n",
        "spec.budget.trials (line 12): .inf is not a number that can be used here",
    ),
    "a date": (
        "  suspend: 2026-01-01\n",
        'spec.suspend (line 12): "2026-01-01" is neither true nor false; write one of them, without quotes',
    ),
    "a time": (
        "  budget: {trials: 12:30}\n",
        'spec.budget.trials (line 12): "12:30" is not a whole number; write one, without quotes or a point',
    ),
    "a word for a section": (
        "  budget: plenty\n",
        'spec.budget (line 12): "plenty" stands where fields belong; write them below it, indented, as name: value',
    ),
    "a long text": (
        f"  objective: {'x' * 99}\n",
        f'spec.objective (line 12): "{"x" * 58}… is not known; use one of Goodput, GoodputPerGPU, Capacity',
    ),
    "an empty entry": (
        "  windows: [~]\n",
        "spec.windows[0] (line 12): null stands where fields belong; write them below it, indented, as name: value",
    ),
    "a field nearly right": (
        "  searchspace: {}\n",
        "spec.searchspace (line 12): is not a known field; did you mean searchSpace? Use one of " + OF_SPEC,
    ),
    "in Python's spelling": (
        "  search_space: {}\n",
        "spec.search_space (line 12): is not a known field; did you mean searchSpace? Use one of " + OF_SPEC,
    ),
    "out of range": ("  budget:\n    trials: 501\n", "spec.budget.trials (line 13): 501 is too high; the most is 500"),
    "a broken rule": (
        "  budget:\n    trials: 4\n",
        (
            "spec.budget.trials (line 13): budget.trials 4 leaves no trial to search with: production and "
            "defaults, 3 confirmations and a repeat of both baselines beside them come first; set it to 8 or more"
        ),
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_wrong(name, path):
    content, message = FIELDS[name]
    assert complaint(path, HEAD + SPEC + content) == f"study.yaml is not a valid study:\n  {message}"


def test_all_mistakes_are_told_in_the_files_order(path):
    study = changed({"spec.suspend": 1, "spec.budget.trials": 0, "spec.slos.1.metric": "X", "metadata.name": None})
    lines = complaint(path, yaml.safe_dump(study, sort_keys=True)).splitlines()[1:]
    numbers = [int(line.split("line ")[1].split(")")[0]) for line in lines]
    assert len(numbers) == 4
    assert numbers == sorted(numbers)


def test_many_mistakes_are_cut_short(path):
    slos = [{"metric": "X", "milliseconds": 0}] * 8
    lines = complaint(path, yaml.safe_dump(changed({"spec.slos": slos, "spec.windows": [1] * 9}))).splitlines()
    assert len(lines) == MAX_PROBLEMS + 2
    assert lines[-1] == "  and 5 more"


def test_no_file(path):
    with pytest.raises(
        StudyFileError, match=r"study\.yaml is not a valid study:\n  there is no such file; check the path"
    ):
        load_study(path.name)


def test_a_directory(path):
    path.mkdir()
    with pytest.raises(StudyFileError, match="this is a directory; name a file in it"):
        load_study(path)


def test_a_file_under_a_file(path):
    path.write_text("")
    with pytest.raises(StudyFileError, match="cannot be read: Not a directory"):
        load_study(path / "study.yaml")


def test_a_device_that_never_ends():
    with pytest.raises(StudyFileError, match="has more than 1 MiB"):
        load_study("/dev/zero")


def test_many_aliases_of_aliases_are_refused(path):
    bomb = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9))
    assert "holds more than 100000 values" in complaint(path, HEAD + "a: &a [x]\n" + bomb)


def test_aliases_and_comments_and_json_are_fine(path):
    path.write_text(HEAD + SPEC.replace("{mean: 1024}", "&tokens {mean: 1024}").replace("{mean: 128}", "*tokens"))
    assert load_study(path).spec.workload.output_tokens.mean == 1024
    path.write_bytes(b"\xef\xbb\xbf# by an editor of Windows\r\n" + (HEAD + SPEC).replace("\n", "\r\n").encode())
    assert load_study(path).spec.slos[0].milliseconds == 500


def test_a_field_without_a_value_is_absent(path):
    path.write_text(HEAD + SPEC + "  windows:\n  budget: ~\n  optimizer: {seed: null}\nstatus: null\n")
    study = load_study(path)
    assert study.spec.windows == []
    assert study.spec.budget.trials == 30


def test_what_kubectl_prints_can_be_read_again(path):
    printed = BASE | {
        "metadata": {
            "name": "llama-8b",
            "managedFields": [{}],
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "generation": 2,
        },
        "status": {"phase": "Searching", "later": 1},
    }
    path.write_text(yaml.safe_dump(printed))
    assert load_study(path).metadata.generation == 2
