"""The bench of classification runs, is deterministic where it judges, and its mutations change what they say."""

import random

import pytest

from tests.bench.classification import MUTATIONS, by_words, main, run
from tests.bench.crash_corpus import corpus, said


def test_nearly_all_of_the_corpus_is_judged_right_and_far_more_than_by_words(capsys):
    assert main(["--quick"]).accuracy > 0.98
    printed = capsys.readouterr().out
    assert "| CUDAOutOfMemory |" in printed
    assert "confusions:" in printed
    assert printed.rstrip().splitlines()[-1].startswith("| raw text | ")


def test_what_stands_in_the_corpus_unchanged_is_all_right():
    _, theirs, by_mutation, _ = run([case for case in corpus() if case.source != "recorded"], 1)
    assert by_mutation["as it is"].accuracy == 1
    assert theirs.accuracy < 0.8


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name != "as it is"])
def test_a_mutation_changes_the_text_of_some_log_and_is_repeatable(name):
    changed = 0
    for case in said():
        lines = list(case.lines)
        once = MUTATIONS[name](lines, random.Random(1))
        assert once == MUTATIONS[name](lines, random.Random(1))
        changed += once != lines
    assert changed


def test_the_reference_takes_the_first_class_that_has_its_words():
    assert by_words("torch.OutOfMemoryError", 1) == "CUDAOutOfMemory"
    assert by_words("", 1) == "Unknown"
    assert by_words("", None) is None
