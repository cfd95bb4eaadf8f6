from __future__ import annotations

import os
from pathlib import Path

import pytest

from qcc.errors import ConfigError
from qcc.grammar.document import Document, read_document


def read(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "file.yml"
    path.write_text(text)
    return read_document(path)


def test_reads_plain_data_with_places(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\nb:\n  c: [x, 2.5]\n  d: null\n")
    assert document.data == {"a": 1, "b": {"c": ["x", 2.5], "d": None}}
    assert document.place(["b", "d"]).endswith("file.yml, line 4")
    assert document.place(["b", "c", 1]).endswith("line 3")
    assert document.place(["b", "missing"]).endswith("line 2")


def test_known_tags_become_a_type_key(tmp_path: Path) -> None:
    document = read(
        tmp_path, "s:\n- !PiecewiseDecay\n  gamma: 0.1\n- !LinearWarmup {steps: 3}\n- !LinearWarmup\n"
    )
    assert document.data["s"] == [
        {"type": "PiecewiseDecay", "gamma": 0.1},
        {"type": "LinearWarmup", "steps": 3},
        {"type": "LinearWarmup"},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: !Unknown {x: 1}",
            "line 1: tag '!Unknown' is not known; known are !PiecewiseDecay, !CosineDecay, !LinearWarmup",
        ),
        ("\na: !!python/object/apply:os.system ['true']", "line 2: tag '!!python/object/apply:os.system'"),
        ("a: !PiecewiseDecay [1]", "line 1: !PiecewiseDecay takes keys and values"),
        ("a: 1\na: 2", "line 2: key 'a' stands twice"),
        ("a: &x\n  b: *x", "line 1: an alias refers to what it stands in"),
        ("a: [1", "this is not YAML"),
        ("- 1", "the top level must be a mapping"),
        ("", "the top level must be a mapping"),
        ("1: 2", "line 1: a key must be a plain word"),
        ("a: !!int x", "line 1: 'x' is no valid int"),
        ("<<: {a: 1}", "line 1: a key must be a plain word"),
    ],
)
def test_refuses(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert message in str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yml does not exist"):
        read_document(tmp_path / "nothing.yml")


def test_override_replaces_and_remembers_its_place(tmp_path: Path) -> None:
    document = read(tmp_path, "a: {b: 1, c: 2}\n")
    document.override("a.b=[!PiecewiseDecay {gamma: 0.5}]")
    document.override("new.x=y")
    assert document.data == {
        "a": {"b": [{"type": "PiecewiseDecay", "gamma": 0.5}], "c": 2},
        "new": {"x": "y"},
    }
    assert document.place(["a", "b", 0, "gamma"]).startswith("option -o a.b=")
    assert document.place(["a", "c"]).endswith("line 1")


@pytest.mark.parametrize("assignment", ["a", "=1", "a..b=1"])
def test_override_needs_key_and_value(tmp_path: Path, assignment: str) -> None:
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        read(tmp_path, "a: 1").override(assignment)


def test_override_inside_a_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'a' is no section"):
        read(tmp_path, "a: 1").override("a.b=2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "{b: " * 600 + "1" + "}" * 600, "it is nested deeper than 50 levels"),
        ("a: " + "[" * 60 + "]" * 60, "line 1: it is nested deeper than 50 levels"),
        ("a: \0", "this is not YAML: special characters are not allowed"),
        ("a: \x1b[31m", "this is not YAML: special characters are not allowed"),
        ("a: [" + "1, " * 400_000 + "1]", r"cannot be read: it is larger than 1,048,576 bytes"),
    ],
)
def test_what_is_too_much(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_document(tmp_path / "x.yml")


def test_aliases_do_not_expand_without_end(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (tmp_path / "x.yml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="there are more than 20,000 values, counting aliases"):
        read_document(tmp_path / "x.yml")


def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.yml")
    with pytest.raises(ConfigError, match=r"x\.yml cannot be read: it is no regular file\.$"):
        read_document(tmp_path / "x.yml")
