"""Values that an operator wrote, each with its line: what is wrong is said where it stands.

A reader (YAML, say) makes `Node`s; a parser walks them with `Place`, which knows the file, the line and the path.
Scalars stay the text that was written: `no`, `007` and `10:25` mean what they say wherever text is expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from services.core.errors import ConfigError

T = TypeVar("T")

_INTEGER: Final = re.compile(r"-?[0-9]{1,12}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TEXT_LIMIT: Final = 500  # characters
_QUOTE_LIMIT: Final = 60  # characters of a wrong value that an error repeats


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it was written."""

    line: int
    text: str
    null: bool = False  # nothing was written


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    items: Sequence[Node]


@dataclasses.dataclass(frozen=True, slots=True)
class Entries:
    """A mapping, duplicates of a key included, in the order written."""

    line: int
    entries: Sequence[tuple[Scalar, Node]]


Node = Scalar | Items | Entries


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A node and where it stands. What reads it raises ConfigError, one line, when the node is something else."""

    file: str
    path: str
    node: Node

    def wrong(self, problem: str, line: int | None = None) -> ConfigError:
        """Return the error for this place: `file:line: path: problem`."""
        path = f"{self.path}: " if self.path else ""
        return ConfigError(f"{self.file}:{line or self.node.line}: {path}{problem}")

    def fields(self, *known: str, required: Sequence[str] = ()) -> Mapping[str, Place]:
        """Return the values of a mapping by key; other keys than the known ones, and keys given twice, are errors."""
        if not isinstance(self.node, Entries):
            raise self.wrong(f"expected a mapping with {_listed(known)}, not {_kind(self.node)}")
        found: dict[str, Place] = {}
        for key, node in self.node.entries:
            if key.text not in known:
                raise self.wrong(f"unknown key {quoted(key.text)}{_hint(key.text, known)}", key.line)
            if key.text in found:
                first = found[key.text].node.line
                raise self.wrong(f"{key.text} is given twice, first on line {first}", key.line)
            found[key.text] = Place(self.file, f"{self.path}.{key.text}" if self.path else key.text, node)
        for name in required:
            if name not in found:
                raise self.wrong(f"{name} is missing")
        return found

    def pairs(self) -> Iterator[tuple[Place, Place]]:
        """Yield (key, value) of a mapping with free keys."""
        if not isinstance(self.node, Entries):
            raise self.wrong(f"expected a mapping, not {_kind(self.node)}")
        for key, node in self.node.entries:
            path = f"{self.path}.{key.text}" if len(key.text) <= _QUOTE_LIMIT and key.text.isprintable() else self.path
            yield Place(self.file, path, key), Place(self.file, path, node)

    def items(self, what: str = "a list") -> list[Place]:
        """Return the members of a list."""
        if not isinstance(self.node, Items):
            raise self.wrong(f"expected {what}, not {_kind(self.node)}")
        return [Place(self.file, f"{self.path}[{index}]", node) for index, node in enumerate(self.node.items)]

    def members(self, what: str = "a list") -> list[Place]:
        """Return the members of a list; a single value is a list of one."""
        return [self] if isinstance(self.node, Scalar) and not self.node.null else self.items(what)

    def text(self, limit: int = _TEXT_LIMIT) -> str:
        """Return the text: not empty, no control characters, at most `limit` characters."""
        if not isinstance(self.node, Scalar) or self.node.null:
            raise self.wrong(f"expected text, not {_kind(self.node)}")
        if not self.node.text.strip():
            raise self.wrong("expected text, but it is empty")
        if _CONTROL.search(self.node.text):
            raise self.wrong("holds a line break or another control character")
        if len(self.node.text) > limit:
            raise self.wrong(f"longer than {limit} characters")
        return self.node.text

    def integer(self, low: int, high: int, what: str = "it") -> int:
        """Return a whole number between the two, both included."""
        text = self.text()
        if not _INTEGER.fullmatch(text):
            raise self.wrong(f"expected a whole number, not {quoted(text)}")
        if not low <= int(text) <= high:
            raise self.wrong(f"{what} {text} is not between {low} and {high}")
        return int(text)

    def number(self, low: float, high: float) -> float:
        """Return a number between the two, both included."""
        text = self.text()
        if not _NUMBER.fullmatch(text):
            raise self.wrong(f"expected a number, not {quoted(text)}")
        if not low <= float(text) <= high:
            raise self.wrong(f"{text} is not between {low:g} and {high:g}")
        return float(text)

    def choice(self, options: Mapping[str, T]) -> T:
        """Return what the text stands for."""
        text = self.text()
        if text not in options:
            raise self.wrong(f"{quoted(text)} is not {_listed(tuple(options), 'or')}{_hint(text, tuple(options))}")
        return options[text]


def node_of(value: object) -> Node:
    """Return the node of a value that was not read from a file: lists, mappings, texts and numbers, all on line 1."""
    match value:
        case Mapping():
            return Entries(1, [(Scalar(1, str(key)), node_of(each)) for key, each in value.items()])
        case list() | tuple():
            return Items(1, [node_of(each) for each in value])
        case bool():
            return Scalar(1, "yes" if value else "no")
        case None:
            return Scalar(1, "", null=True)
        case float() if value == int(value):
            return Scalar(1, str(int(value)))
    return Scalar(1, str(value))


def quoted(text: str) -> str:
    """Return text of the operator's so that it fits into one line of an error."""
    shown = _CONTROL.sub("?", text)
    return f"'{shown[:_QUOTE_LIMIT]}…'" if len(shown) > _QUOTE_LIMIT else f"'{shown}'"


def _kind(node: Node) -> str:
    match node:
        case Items():
            return "a list"
        case Entries():
            return "a mapping"
        case Scalar(null=True):
            return "nothing"
    return quoted(node.text)


def _listed(names: Sequence[str], last: str = "and") -> str:
    if len(names) < 2:  # noqa: PLR2004  # one name needs no word between
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def _hint(text: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(text[:_QUOTE_LIMIT].lower(), known, n=1)
    return f", did you mean {close[0]}?" if close else ""
