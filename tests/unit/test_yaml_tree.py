"""YAML from an operator: what is not YAML, and what is YAML that nobody should feed to a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.core.errors import ConfigError
from services.core.tree import Entries, Items, Scalar
from services.runtime import yaml_tree
from services.runtime.yaml_tree import parse_tree, read_tree

BOMB = (
    "a: &a ["
    + "x," * 10
    + "]\n"
    + "".join(f"{name}: &{name} [{f'*{before},' * 10}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True))
)


def test_every_value_has_the_line_it_stands_on() -> None:
    place = parse_tree("a: 1\nb:\n  - x\n  - 'null'\n  -\n", "f")
    assert place.node == Entries(
        1,
        (
            (Scalar(1, "a"), Scalar(1, "1")),
            (Scalar(2, "b"), Items(3, (Scalar(3, "x"), Scalar(4, "null"), Scalar(5, "", null=True)))),
        ),
    )


def test_an_alias_stands_for_what_its_anchor_marks() -> None:
    node = parse_tree("a: &x [1]\nb: *x", "f").node
    assert isinstance(node, Entries)
    assert node.entries[0][1] == node.entries[1][1] == Items(1, (Scalar(1, "1"),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\n", r"f:2: not YAML: while parsing a flow sequence"),
        ("a: 1\n\tb: 2\n", r"f:2: not YAML: .*\btab\b"),
        ("a: b: c", r"f:1: not YAML: mapping values are not allowed"),
        ("a: 1\nb: \x07", r"f:2: not YAML: a character that it does not allow"),
        ("a: 1\n---\nb: 2", r"f:2: a second document"),
        ("a: !!python/object/apply:os.system [x]", r"f:1: a tag \(.*os.system\)"),
        ("a: !secret x", r"f:1: a tag \(!secret\)"),
        ("a: *b", r"f:1: \*b refers to nothing before it"),
        ("a: &b [*b]", r"f:1: \*b refers to nothing before it"),
        ("[a]: b", r"f:1: a list or mapping as a key"),
        ("a: " + "[" * 100_000, r"f:1: nested deeper than 20 levels"),
        (BOMB, r"f:\d: more than 1000000 values"),
        ("", r"f:1: the file is empty"),
        ("~", r"f:1: the file is empty"),
        ("--- # nothing\n...", r"f:1: the file is empty"),
    ],
    ids=lambda value: value[:20],
)
def test_what_cannot_be_used_is_answered_with_one_line(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^{expected}") as caught:
        parse_tree(text, "f")
    assert "\n" not in str(caught.value)


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xb6")
    assert read_tree(path).node == Entries(1, ((Scalar(1, "a"), Scalar(1, "ö")),))


def test_a_file_that_is_not_there_or_not_text_is_answered_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    with pytest.raises(ConfigError, match=r"f\.yaml: no such file or directory$"):
        read_tree(path)
    with pytest.raises(ConfigError, match=r": is a directory$"):
        read_tree(tmp_path)
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"f\.yaml:2: not UTF-8$"):
        read_tree(path)


def test_a_file_past_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    with path.open("wb") as file:
        file.truncate(yaml_tree.OCTETS_MOST * 100)
    with pytest.raises(ConfigError, match=r"f\.yaml: larger than 16 MB$"):
        read_tree(path)
