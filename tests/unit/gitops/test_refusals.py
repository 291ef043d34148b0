"""What cannot be changed safely is refused, with the reason and what would be right."""

from functools import partial

import pytest

from sloguard.api.v1alpha1 import KnobName
from sloguard.gitops.edit import with_settings
from sloguard.gitops.errors import EditError
from sloguard.gitops.find import Wanted, in_kustomize, in_manifest, in_values

NEW = {KnobName.MAX_NUM_SEQS: "192"}


def manifest(container, tail=""):
    lines = "".join(f"        {line}\n" for line in container.splitlines())
    return (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec:\n      containers:\n"
        f"      - name: vllm\n        image: vllm/vllm-openai\n{lines}{tail}"
    )


MANIFESTS = {
    "a template": (manifest("args:\n{{- range .Values.args }}\n- {{ . }}\n{{- end }}"), "template of a Helm chart"),
    "a template of one word": (manifest("args: [{{ .Values.model }}]"), "values file"),
    "no YAML": ("a: [b\n", "line 2: no valid YAML"),
    "the key twice": (manifest("args: [a]\nargs: [b]"), "args stands there twice"),
    "args of an anchor": ("x: &a [--model, m]\n---\n" + manifest("args: *a"), "nothing has the anchor"),
    "shared args": (manifest("args: &a [--model, m]", "      - {name: b, image: c, args: *a}\n"), "anchor &a"),
    "args from elsewhere": (manifest("env: &a [--model, m]\nargs: *a"), "write it out here"),
    "shared word": (
        manifest("args:\n- --max-num-seqs\n- &n '64'\nenv: [{name: N, value: *n}]"),
        "anchor &n, which is used elsewhere",
    ),
    "a merged container": (
        "kind: Pod\nx: &base {args: [--model, m]}\nspec:\n  containers:\n  - {<<: *base, name: vllm, image: vllm}\n",
        "merged there",
    ),
    "a shared container": (
        "kind: Pod\nspec:\n  containers:\n  - &c {name: vllm, image: vllm, args: [a]}\nother: *c\n",
        "anchor &c is used elsewhere too",
    ),
    "within something shared": (
        "kind: Pod\nspec: &s\n  containers:\n  - {name: vllm, image: vllm, args: [a]}\nother: *s\n",
        "used elsewhere too",
    ),
    "args that are a string": (manifest("args: --model m"), "should be a list of words"),
    "a script without its shell": (manifest("args: ['exec vllm serve m']"), "does not start a shell"),
    "a shell with a file": (manifest("command: [bash, /start.sh]"), "through a shell"),
    "hidden flags": (manifest("command: [sh, -c, 'vllm serve m $EXTRA']"), r"passes \$EXTRA"),
    "a file of settings": (manifest("args: [--model, m, --config, /etc/vllm.yaml]"), "--config"),
    "no container": ("kind: Service\nmetadata: {name: s}\n", "no container fits; there are: none"),
    "two servers": (manifest("args: [m]", "      - {name: b, image: vllm, args: [n]}\n"), "Say which with --kind"),
    "a comment within brackets": (manifest("args: [a, # b\n  --max-num-seqs, # c\n  '64']\n"), None),
    "no keys to go by": ("kind: Pod\nspec:\n  containers: [{name: a, image: vllm}]\n", "there is no args; add it"),
    "items on one line": (manifest("args:\n- # odd\n  m"), "on a line of its own"),
}


@pytest.mark.parametrize("name", [name for name, (_, reason) in MANIFESTS.items() if reason])
def test_a_manifest_that_cannot_be_changed_safely(name):
    text, reason = MANIFESTS[name]
    with pytest.raises(EditError, match=reason):
        with_settings(text, partial(in_manifest, wanted=Wanted()), set(NEW), NEW)


def test_comments_within_brackets_stay():
    text, _ = MANIFESTS["a comment within brackets"]
    after = with_settings(text, partial(in_manifest, wanted=Wanted()), set(NEW), NEW)
    assert after == text.replace("'64'", "'192'")
    with pytest.raises(EditError, match="a comment stands between"):
        with_settings(text, partial(in_manifest, wanted=Wanted()), set(NEW), {})


VALUES = {
    "no such key": ("a: {b: 1}\n", "a.args", "there is no args; the keys there are: b"),
    "no such list": ("a: {b: 1}\n", "a[0].args", "there should be a list"),
    "no such item": ("a: [{b: 1}]\n", "a[3].args", "0 of the list's 1 items"),
    "no such name": ("a: [{name: x}]\n", "a[name=y].args", "0 of the list's 1 items"),
    "an index at the end": ("a: [x]\n", "a[0]", "should end with the key"),
    "a bad path": ("a: [x]\n", "a[", "cannot be read from"),
    "not flags": ("args: vllm serve m && exit\n", "args", "flags alone"),
    "an open quote": ("args: --x 'a\n", "args", "not closed"),
    "a chart's own names": ("vllm: {maxModelLen: 1}\n", "vllm", "nothing says by which key"),
    "a release without values": ("kind: HelmRelease\nspec: {valuesFrom: []}\n", "a", "valuesFrom"),
    "an application without values": ("kind: Application\nspec: {source: {path: x}}\n", "a", "valueFiles"),
    "one item as a parameter": (
        "kind: Application\nspec: {source: {helm: {parameters: [{name: 'a.args[1]', value: '64'}]}}}\n",
        "a.args",
        "one item by itself",
    ),
    "a shared value": ("a: &x [--model, m]\nb: *x\n", "a", "anchor &x"),
    "another's value": ("a: &x [--model, m]\nb: *x\n", "b", "what the anchor &x says"),
    "an expansion": ("args: --max-num-seqs\n", "args", "has no value"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_cannot_be_changed_safely(name):
    text, path, reason = VALUES[name]
    with pytest.raises(EditError, match=reason):
        with_settings(text, partial(in_values, path=path, wanted=Wanted()), set(NEW), NEW)


OPERATIONS = {
    "by number": (
        "- {op: replace, path: /spec/containers/0/args/3, value: '64'}\n",
        "depends on what it is applied to",
    ),
    "none of args": ("- {op: add, path: /spec/replicas, value: 2}\n", "no operation sets"),
    "of two containers": (
        "- {op: add, path: /c/0/args, value: [a]}\n- {op: add, path: /c/1/args, value: [b]}\n",
        "several lists",
    ),
    "a kustomization without patches": ("kind: Kustomization\nresources: [a]\n", "give the file that holds the patch"),
    "two patches": (
        "kind: Kustomization\npatches:\n" + "- patch: |\n    - {op: add, path: /c/0/args, value: [m]}\n" * 2,
        "2 of the kustomization's own patches",
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_patches_that_cannot_be_changed_safely(name):
    text, reason = OPERATIONS[name]
    with pytest.raises(EditError, match=reason):
        with_settings(text, partial(in_kustomize, wanted=Wanted()), set(NEW), NEW)


def test_which_one_is_meant_can_be_said():
    two = manifest("args: [m]", "      - {name: b, image: vllm, args: [n]}\n")
    after = with_settings(two, partial(in_manifest, wanted=Wanted(container="b")), set(NEW), NEW)
    assert after == two.replace("args: [n]", 'args: [n, --max-num-seqs, "192"]')
    both = manifest("args: [m]") + "---\n" + manifest("args: [n]").replace("name: d", "name: e")
    after = with_settings(both, partial(in_manifest, wanted=Wanted(name="e")), set(NEW), NEW)
    assert after == both.replace("args: [n]", 'args: [n, --max-num-seqs, "192"]')
