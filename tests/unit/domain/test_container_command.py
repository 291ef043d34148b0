"""Containers as people write them: lists, shells, scripts; and what cannot be told."""

import pytest

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.arguments import ArgumentsError, tuned, with_parameters
from sloguard.domain.container_command import read_command

K = KnobName

SCRIPTS = {
    "exec": ("exec vllm serve M --max-num-seqs 64", ["M", "--max-num-seqs", "64"]),
    "steps before": ("set -euo pipefail; ulimit -n 65535 && vllm serve M --a", ["M", "--a"]),
    "lines": ("echo vllm serve other\nvllm serve M \\\n  --a 1 \\\n  --b\n", ["M", "--a", "1", "--b"]),
    "environment before it": ("VLLM_USE_V1=1 HF_HOME=/x vllm serve M", ["M"]),
    "a module": ("python3 -m vllm.entrypoints.openai.api_server --model M", ["--model", "M"]),
    "a pipe": ("vllm serve M --a 2>&1 | tee /log", ["M", "--a"]),
    "into a file": ("vllm serve M --a > /log 2> /err", ["M", "--a"]),
    "in the background": ("vllm serve M --a &\nwait $!", ["M", "--a"]),
    "a comment": ("vllm serve M --a # --b\n# vllm serve N", ["M", "--a"]),
    "quotes": (
        """vllm serve 'org/M' --a="b c" --d '{"e": "f g"}' --h\\ i""",
        ["org/M", "--a=b c", "--d", '{"e": "f g"}', "--h i"],
    ),
    "escapes": (r'vllm serve M --a "b\"c\\d\e"', ["M", "--a", 'b"c\\d\\e']),
    "filled in": (
        'vllm serve $MODEL --port "${PORT:-80}" --name $(NAME)',
        ["$MODEL", "--port", '"${PORT:-80}"', "--name", "$(NAME)"],
    ),
    "a literal dollar": ("vllm serve M --a '$b'", ["M", "--a", "'$b'"]),
    "a loop": ("while true; do vllm serve M --a; sleep 1; done", ["M", "--a"]),
    "a condition": ("if [ -d /m ]; then vllm serve M --a; fi", ["M", "--a"]),
    "a group": ("{ vllm serve M --a; }", ["M", "--a"]),
    "a wrapper": ("numactl -N 0 -m 0 vllm serve M --a", ["M", "--a"]),
    "json without quotes": ('vllm serve M --a {"b":1}', ["M", "--a", '{"b":1}']),
    "nothing": ("vllm serve", []),
}

REFUSED = {
    "flags in a variable": ("vllm serve M $EXTRA_ARGS", r"passes \$EXTRA_ARGS"),
    "flags after a value": ("vllm serve M --a 1 ${EXTRA}", r"write them out"),
    "all parameters": ('vllm serve "$@"', r'passes "\$@"'),
    "an array": ('A=(--a 1); vllm serve M "${A[@]}"', "may hold any flags"),
    "a setting in a variable": ('vllm serve M --max-num-seqs "${SEQS}"', "write the value itself"),
    "a setting in a variable, attached": ("vllm serve M --max-num-seqs=$SEQS", "write the value itself"),
    "two servers": ("if $A; then vllm serve M; else vllm serve N; fi", "in 2 places"),
    "in eval": ('eval "vllm serve M"', "holds no vLLM server"),
    "in another shell": ('su -c "vllm serve M"', "holds no vLLM server"),
    "another program": ("python app.py", "holds no vLLM server"),
    "only named": ("echo vllm serve M", "holds no vLLM server"),
    "a here-document": ("cat > x <<EOF\nvllm serve M\nEOF\nvllm serve M", "here-document"),
    "an open quote": ("vllm serve 'M", "not closed"),
    "an open substitution": ("vllm serve $(cat x", "without its"),
    "a process substitution": ("vllm serve M > >(tee x)", "process substitution"),
    "a redirection in the middle": ("vllm serve M > x --a 1", "put it at the end"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_plainly_starts_vllm(name):
    script, arguments = SCRIPTS[name]
    for command, args in ((["sh", "-c", script], []), (["/bin/bash", "-lc"], [script]), ([], ["bash", "-c", script])):
        assert list(read_command(command, args).arguments) == arguments


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_with_its_own_arguments_is_the_same_text(name):
    script, arguments = SCRIPTS[name]
    assert read_command(["sh", "-c", script], []).with_arguments(arguments) == (["sh", "-c", script], [])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_setting_in_a_script_is_read_back(name):
    script, arguments = SCRIPTS[name]
    read = read_command(["sh", "-c"], [script])
    wanted = with_parameters(arguments, {K.MAX_NUM_SEQS}, {K.MAX_NUM_SEQS: "128", K.ENFORCE_EAGER: "true"})
    command, args = read.with_arguments(wanted)
    assert command == ["sh", "-c"]
    assert list(read_command(command, args).arguments) == wanted
    again = read_command(command, args).with_arguments(arguments)
    assert list(read_command(*again).arguments) == arguments


@pytest.mark.parametrize("name", REFUSED)
def test_a_script_that_cannot_be_read_for_certain_is_refused(name):
    script, reason = REFUSED[name]
    with pytest.raises(ArgumentsError, match=reason):
        read_command(["sh", "-c", script], [])


@pytest.mark.parametrize(
    "shell",
    ["sh -c", "bash -lc", "/bin/bash -l -c", "bash -euo pipefail -c", "bash -o pipefail -c", "tini -- sh -c",
     "/usr/bin/env bash -c", "/bin/sh -xc --", "bash --norc -c"],
)  # fmt: skip
def test_shells_as_they_are_called(shell):
    assert read_command(shell.split(), ["vllm serve M"]).arguments == ("M",)


def test_words_after_the_script_are_not_vllms():
    with pytest.raises(ArgumentsError, match=r"\$0, \$1"):
        read_command(["sh", "-c", "vllm serve M"], ["--max-num-seqs", "64"])


def test_a_script_keeps_its_form():
    script = """# production
export VLLM_LOGGING_LEVEL=INFO   # quiet
exec vllm serve "$MODEL" \\
    --served-model-name 'llama' \\
    --max-num-seqs "64" \\
    --gpu_memory_utilization=0.90 \\
    --enforce-eager \\
    --unknown-flag '{"a": [1, 2]}' 2>&1
"""
    wanted = {K.MAX_NUM_SEQS: "128", K.GPU_MEMORY_UTILIZATION: "0.95", K.BLOCK_SIZE: "32"}
    read = read_command(["bash", "-c"], [script])
    arguments = with_parameters(read.arguments, {K.ENFORCE_EAGER}, wanted)
    assert read.with_arguments(arguments)[1] == [
        script.replace('"64"', '"128"')
        .replace("=0.90", "=0.95")
        .replace("    --enforce-eager \\\n", "")
        .replace("2]}' ", "2]}' \\\n    --block-size 32 ")
    ]


def test_nothing_that_a_shell_would_run_gets_into_a_script():
    read = read_command(["sh", "-c", "vllm serve M"], [])
    for text in ("$(id)", "`id`", "$HOME"):
        with pytest.raises(ArgumentsError, match="cannot be written into"):
            read.with_arguments(["M", "--quantization", text])
    command, _ = read.with_arguments(["M", "--quantization", "a;id|b&c>d'e\"f"])
    assert tuned(read_command(command, []).arguments) == {K.QUANTIZATION: "a;id|b&c>d'e\"f"}


@pytest.mark.parametrize(
    ("command", "args", "arguments"),
    [
        ([], ["--model", "M"], ("--model", "M")),
        (["vllm"], ["serve", "M"], ("M",)),
        (["sh", "-c", "x"][:0], ["serve", "M"], ("serve", "M")),
    ],
)
def test_lists_of_words(command, args, arguments):
    assert read_command(command, args).arguments == arguments
