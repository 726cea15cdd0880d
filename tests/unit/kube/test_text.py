"""Any bytes become documents or problems, with the right place, in bounded time."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.kube import load
from reconciler.kube.document import MAX_DEPTH, MAX_NODES, plain
from reconciler.kube.scalars import resolve
from reconciler.kube.text import read
from tests.unit.kube.helpers import POD, pod, read_yaml, sentences

GOOD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: busybox:1
"""

BOMB = "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("data", "place", "reason", "message"),
    [
        pytest.param(b"a: [1\nb: 2", (2, 2), "InvalidYAML", "flow sequence", id="a list that is not closed"),
        pytest.param(b"a:\n\tb: 1", (2, 1), "InvalidYAML", "a tab where YAML wants spaces", id="a tab as indentation"),
        pytest.param(b"a: b: c", (1, 5), "InvalidYAML", "mapping values", id="two colons in a line"),
        pytest.param(b"a: 1\nb: \xff\n", (2, 4), "InvalidUTF8", "0xff at offset 8", id="a byte that is not UTF-8"),
        pytest.param(b"\xff\xfea\x00", (1, 1), "InvalidUTF8", "UTF-16", id="UTF-16"),
        pytest.param(b"a: 1\nb: x\x00y", (2, 5), "InvalidYAML", "U+0000", id="a NUL byte"),
        pytest.param(b"a: \x1b[0m", (1, 4), "InvalidYAML", "U+001B", id="an escape character"),
        pytest.param(b"a: 'x", (1, 6), "InvalidYAML", "quoted scalar", id="a string that does not end"),
        pytest.param(b"a: 1\na: 2", (2, 1), "InvalidYAML", "written twice (first in line 1)", id="a field twice"),
        pytest.param(b"a: *x", (1, 4), "InvalidYAML", "no anchor before it", id="an alias of nothing"),
        pytest.param(b"a: &x [*x]", (1, 8), "InvalidYAML", "part of", id="an alias of what it is in"),
        pytest.param(b"a: !foo 1", (1, 4), "InvalidYAML", "tags (!…)", id="a tag nobody knows"),
        pytest.param(b"yes: 1", (1, 1), "InvalidYAML", "put yes in quotes", id="a field called yes"),
        pytest.param(b"? [a]\n: 1", (1, 3), "InvalidYAML", "must be a string", id="a list as field name"),
        pytest.param(b"<<: 3", (1, 5), "InvalidYAML", "<< needs a mapping", id="a merge of a number"),
        pytest.param(b'a: "x\\0y"', (1, 4), "InvalidValue", "NUL", id="an escaped NUL"),
        pytest.param(b"[" * 100_000, (1, MAX_DEPTH + 1), "TooLarge", "levels deep", id="a hundred thousand brackets"),
        pytest.param(BOMB.encode(), (6, 11), "TooLarge", "through its aliases", id="an alias bomb"),
        pytest.param(b"- a\n" * (MAX_NODES + 1), (MAX_NODES, 3), "TooLarge", "more than", id="too many values"),
        pytest.param(b"a: " + b"x" * 50_000_000, (1, 1), "TooLarge", "47.7 MiB", id="fifty megabytes"),
        pytest.param(b"just words", (1, 1), "WrongType", "not a string", id="a text that is no mapping"),
    ],
)
def test_a_bad_text_is_one_clear_problem(data: bytes, place: tuple[int, int], reason: str, message: str) -> None:
    loaded = load("x.yaml", data)
    found = [p for p in loaded.problems if p.reason == reason and message in p.message]
    assert found, [str(p) for p in loaded.problems]
    assert (found[0].line, found[0].column) == place
    assert found[0].is_error
    assert not loaded.pods
    assert not loaded.complete
    assert "\n" not in str(found[0])


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"# only a comment\n", b"---\n", b"---\n...\n", b"\xef\xbb\xbf", b"null\n"]
)
def test_an_empty_file_means_no_pods_and_no_problems(data: bytes) -> None:
    loaded = load("x.yaml", data)
    assert (loaded.pods, loaded.problems, loaded.complete) == ((), (), True)
    assert load("x.json", b"").problems == ()


def test_hostile_texts_are_answered_in_little_time() -> None:
    started = time.monotonic()
    for text in (b"[" * 9_000_000, b"x" * 50_000_000, BOMB.encode(), b"'" * 9_000_000, b"? " * 1_000_000):
        for name in ("x.yaml", "x.json"):
            assert load(name, text).problems
    assert time.monotonic() - started < 10


def test_a_byte_order_mark_does_not_move_columns() -> None:
    loaded = load("x.yaml", b"\xef\xbb\xbf" + GOOD.replace("name: web", "name: Web").encode())
    assert [(p.line, p.column) for p in loaded.problems] == [(3, 18)]
    assert load("x.yaml", b"\xef\xbb\xbf" + GOOD.encode()).pods


def test_columns_count_characters_not_bytes() -> None:
    assert [(p.line, p.column) for p in load("x.yaml", "ä: ö\nü: 1: 2".encode()).problems] == [(2, 5)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("Yes", True), ("off", False), ("n", False), ("~", None), ("", None), ("null", None),
        ("12", 12), ("-5", -5), ("017", 15), ("0o17", 15), ("0x1F", 31), ("1_000", 1000), ("0b11", 3),
        ("0.5", 0.5), (".5", 0.5), ("1e3", 1000.0), ("5.", 5.0), ("+1", 1),
        ("22:22", "22:22"), ("2001-01-01", "2001-01-01"), ("v1", "v1"), ("500m", "500m"), ("1.2.3", "1.2.3"),
        ("-", "-"), (".", "."), ("0x", "0x"), ("yess", "yess"), ("08", 8.0), ("1" * 65, "1" * 65),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_kubernetes_takes_them_for(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@given(st.text(max_size=40))
def test_no_scalar_is_refused(text: str) -> None:
    resolve(text)


def test_merge_keys_fill_in_what_is_not_written() -> None:
    text = "base: &b {b: 1, c: 2}\nmore: &m {c: 9, d: 3}\nmade:\n  c: 5\n  <<: [*b, *m]\n"
    (document,) = read(text.encode())
    assert document.root is not None
    assert plain(document.root)["made"] == {"b": 1, "c": 5, "d": 3}


def test_a_quoted_merge_sign_is_a_name_like_any_other() -> None:
    (document,) = read(b'"<<": 1')
    assert document.root is not None
    assert plain(document.root) == {"<<": 1}


@pytest.mark.parametrize("path", ["x.json", "x.yaml"])
def test_json_is_read_with_its_own_rules(path: str) -> None:
    text = (
        '{\t"apiVersion": "v1", "kind": "Pod",\r\n\t"metadata": '
        '{"name": "web", "annotations": {"a": "\\ud83d\\ude00\\/"}},'
        '\n\t"spec": {"containers": [{"name": "a", "image": "busybox:1", "env": []}]}}\n'
    )
    loaded = load(path, text.encode())
    assert not loaded.problems
    assert loaded.pods[0].spec.annotations == (("a", "\U0001f600/"),)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('{"a": 1,}', (1, 9), "wanted a field name in double quotes, found '}'"),
        ('{"a" 1}', (1, 6), "wanted a colon, found a number"),
        ('{"a": 1', (1, 8), "the text ends here"),
        ("[1\n 2]", (2, 2), "wanted a comma or the closing bracket"),
        ("[1,]", (1, 4), "wanted a value, found ']'"),
        ("{'a': 1}", (1, 2), "cannot read what stands here"),
        ('["a\nb"]', (1, 2), "a string that does not end"),
        ("nul", (1, 1), "cannot read what stands here"),
        ("01", (1, 2), "must be a Kubernetes object"),
        ("}", (1, 1), "wanted a value, found '}'"),
        ('{"a": "\\ud800"}', (1, 7), "half of a surrogate pair"),
    ],
)
def test_bad_json_is_told_with_its_place(text: str, place: tuple[int, int], message: str) -> None:
    found = [p for p in load("x.json", text.encode()).problems if message in p.message]
    assert found
    if "object" not in message:
        assert (found[0].line, found[0].column) == place


def test_without_libyaml_the_python_parser_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [GOOD, GOOD.replace("name: web", "name: Web"), "a: *x", "a: [1\nb: 2", "a: 1\na: 2", BOMB, "[" * 5000]
    fast = [load("x.yaml", text.encode()) for text in texts]
    monkeypatch.delattr(yaml, "CSafeLoader")
    slow = [load("x.yaml", text.encode()) for text in texts]
    for one, other in zip(fast, slow, strict=True):
        assert one.pods == other.pods
        assert [(p.line, p.reason) for p in one.problems] == [(p.line, p.reason) for p in other.problems]


def test_two_json_documents_in_a_row_are_two_documents() -> None:
    assert [plain(d.root) for d in read(b'{"a": 1} {"b": 2}\n[3]', is_json=True) if d.root] == [{"a": 1}, {"b": 2}, [3]]


def test_a_broken_document_does_not_take_the_one_before_it_along() -> None:
    loaded = read_yaml(GOOD + "---\nkind: Pod\nmetadata: {name: other}\nspec: {containers: [")
    assert [p.spec.key.name for p in loaded.pods] == ["web"]
    assert [str(k) for k in loaded.keys_in_error] == ["default/other"]
    assert not loaded.complete


@given(st.binary(max_size=300))
def test_no_bytes_are_refused(data: bytes) -> None:
    load("x.yaml", data)
    load("x.json", data)


@settings(max_examples=300)
@given(st.text(alphabet=" \n-:[]{}\"'*&!|>#?,%@`<ab1~\t\\", max_size=60))
def test_no_text_of_yaml_signs_hurts(text: str) -> None:
    for problem in load("x.yaml", text.encode()).problems:
        assert problem.reason != "InternalError"
        assert problem.line >= 1
        assert problem.column >= 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200)
@given(VALUES, st.sampled_from(["metadata", "spec", "kind", "status", "containers", "image", "env", "volumes"]))
def test_no_value_anywhere_in_a_pod_hurts(value: object, where: str) -> None:
    import json

    document = pod()
    place = document if where in POD else document["spec"]
    place = document["spec"]["containers"][0] if where in ("image", "env") else place
    place[where] = value
    loaded = load("x.json", json.dumps(document).encode())
    assert "InternalError" not in {p.reason for p in loaded.problems}, sentences(loaded)
