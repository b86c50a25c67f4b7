import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.errors import InvalidArchive
from cnr.domain.yaml_text import DEPTH_LIMIT, NODE_BYTES, SIZE_LIMIT, Plain, Value, load

NODES = SIZE_LIMIT // NODE_BYTES

printable = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff")
)
documents = st.recursive(
    printable, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(printable, inner, max_size=4), max_leaves=12
)


def read(text: str) -> Value:
    return load(text.encode(), what="it")


@given(documents)
def test_reads_what_is_written(document: object) -> None:
    assert read(yaml.safe_dump(document, allow_unicode=True)) == document
    assert read(json.dumps(document, ensure_ascii=False)) == document


@given(st.binary(max_size=200) | st.text(alphabet="a:- \n&*[]{}<>!'\"|?%\t#,", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        load(data, what="it")
    except InvalidArchive as exc:
        assert "it" in exc.message  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    "text", ["1.10", "1e3", "0x1F", "017", "yes", "2020-01-01", "1_000", ".nan", "-.inf", "12:30:45"]
)
def test_unquoted_scalars_keep_their_text(text: str) -> None:
    value = read(f"a: {text}")
    assert value == {"a": text}
    assert isinstance(value, dict)
    assert isinstance(value["a"], Plain)


def test_quoted_scalars_are_known_from_unquoted_ones() -> None:
    assert read("[~, null, 'null', \"~\", '', ]") == [None, None, "null", "~", ""]
    value = read("- 'true'\n- !!str true\n- |\n  text\n- >\n  text\n")
    assert isinstance(value, list)
    assert not any(isinstance(item, Plain) for item in value)


def test_anchors_aliases_and_merges_are_resolved() -> None:
    assert read("{a: &x [1, 2], b: *x}") == {"a": ["1", "2"], "b": ["1", "2"]}
    assert read("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}") == {"a": {"p": "1", "q": "2"}, "b": {"p": "1", "q": "3"}}
    assert read("b: {<<: [{p: 1}, {p: 2, q: 4}]}") == {"b": {"p": "1", "q": "4"}}
    assert read("b: {'<<': x}") == {"b": {"<<": "x"}}


def test_only_the_first_document_counts() -> None:
    assert read("a: b\n---\nc: d") == {"a": "b"}
    assert read("") is None
    assert read("\ufeffa: b") == {"a": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "{a: 1, 'a': 2}",
        "!!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        "a: !!binary aGk=",
        "a: !!int 3",
        "!custom a",
        "&a [*a]",
        "a: &a {b: *a}",
        "*nothing",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "a: &x [1]\n*x : y",
        "{~: b}",
        "<<: 3",
        "<<: [a]",
        "\ta: 1",
        "a: b: c",
        "a: [",
        'a: "\\ud800"',
        "a: \0",
        "%YAML 9.0\n---\na",
    ],
)
def test_refuses_what_it_does_not_take(text: str) -> None:
    with pytest.raises(InvalidArchive):
        read(text)


@pytest.mark.parametrize("data", [b"a: \xff", b"\xff\xfea\0", b"a: \xed\xa0\x80", b"\xc0\xae"])
def test_refuses_what_is_no_utf8(data: bytes) -> None:
    with pytest.raises(InvalidArchive):
        load(data, what="it")


def bombs() -> list[str]:
    steps = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    merges = [f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}], k{n}: x}}" for n in range(1, 30)]
    return [
        "\n".join(["a0: &a0 [x,x,x,x,x,x,x,x,x]", *steps]),
        "\n".join(["a0: &a0 {x: y}", *merges]),
        "a: &a x\nb: [" + "*a," * NODES + "]",
        "- a\n" * (NODES + 1),
        f"a: &a {'x' * 500_000}\nb: [" + "*a," * 9 + "]",
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "'" * 100_001,
    ]


@pytest.mark.parametrize("text", bombs())
def test_bombs_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchive):
        read(text)


def test_the_limits_are_exact() -> None:
    assert isinstance(read("-\n" * (NODES - 1)), list)
    with pytest.raises(InvalidArchive, match="too many"):
        read("-\n" * NODES)
    assert isinstance(read("[&a " + "x" * (SIZE_LIMIT // 4 - NODE_BYTES) + ", *a, *a]"), list)
    value = read("[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT)
    depth = 0
    while isinstance(value, list):
        value, depth = value[0] if value else None, depth + 1
    assert depth == DEPTH_LIMIT
    with pytest.raises(InvalidArchive, match="deeper"):
        read("[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1))
