"""YAML as a tree of located values. Nothing is constructed, so no document can run code or grow without bound."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from services.core.errors import ConfigError
from services.core.tree import Entries, Items, Node, Place, Scalar

OCTETS_MOST: Final = 16 * 1_048_576
NODES_MOST: Final = 1_000_000  # after every alias is counted as often as it stands
DEPTH_MOST: Final = 20

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads 100,000 recipients in a second, not in ten
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


def read_tree(path: Path) -> Place:
    """Return the file's one document; raise ConfigError, one line with file and line, when there is none to be had."""
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(OCTETS_MOST + 1)
    except OSError as error:
        raise ConfigError(f"{name}: {(error.strerror or 'cannot be read').lower()}") from error
    if len(data) > OCTETS_MOST:
        raise ConfigError(f"{name}: larger than {OCTETS_MOST // 1_048_576} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8") from error
    return parse_tree(text, name)


def parse_tree(text: str, name: str) -> Place:
    """Return the one document in `text`; `name` is what errors call the file."""
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{name}:{line}: not YAML: a character that it does not allow") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(" ".join(part.split()) for part in (error.context, error.problem) if part)
        raise ConfigError(f"{name}:{mark.line + 1 if mark else 1}: not YAML: {what}") from error
    if builder.root is None or (isinstance(builder.root, Scalar) and builder.root.null):
        raise ConfigError(f"{name}:1: the file is empty")
    return Place(name, "", builder.root)


class _Open:
    """A list or mapping whose end has not come yet."""

    def __init__(self, line: int, anchor: str | None, *, mapping: bool) -> None:
        self.line = line
        self.anchor = anchor
        self.mapping = mapping
        self.nodes: list[Node] = []
        self.weight = 1

    def close(self) -> Node:
        if not self.mapping:
            return Items(self.line, tuple(self.nodes))
        keys = [key for key in self.nodes[::2] if isinstance(key, Scalar)]  # `_add` lets no other key in
        return Entries(self.line, tuple(zip(keys, self.nodes[1::2], strict=True)))


class _Builder:
    """Makes nodes of the parser's events, without recursion."""

    def __init__(self, name: str) -> None:
        self.root: Node | None = None
        self._name = name
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}

    def take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        line = mark.line + 1 if mark else 1
        match event:
            case yaml.ScalarEvent():
                self._check_tag(event.tag, line)
                plain = event.implicit[0]  # not in quotes
                self._add(Scalar(line, event.value, plain and event.value in _NULLS), 1, event.anchor, line)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._check_tag(event.tag, line)
                if len(self._open) >= DEPTH_MOST:
                    raise self._wrong(line, f"nested deeper than {DEPTH_MOST} levels")
                self._open.append(_Open(line, event.anchor, mapping=isinstance(event, yaml.MappingStartEvent)))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = self._open.pop()
                self._add(done.close(), done.weight, done.anchor, line)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise self._wrong(line, f"*{event.anchor} refers to nothing before it")
                self._add(*self._anchors[event.anchor], None, line)
            case yaml.DocumentStartEvent() if self.root is not None:
                raise self._wrong(line, "a second document; one file is one document")

    def _add(self, node: Node, weight: int, anchor: str | None, line: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, weight)
        if not self._open:
            self.root = node
            return
        into = self._open[-1]
        if into.mapping and len(into.nodes) % 2 == 0 and not isinstance(node, Scalar):
            raise self._wrong(line, "a list or mapping as a key")
        into.nodes.append(node)
        into.weight += weight
        if sum(part.weight for part in self._open) > NODES_MOST:
            raise self._wrong(line, f"more than {NODES_MOST} values")

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag not in (None, "!"):
            raise self._wrong(line, f"a tag ({tag}); tags mean nothing here")

    def _wrong(self, line: int, problem: str) -> ConfigError:
        return ConfigError(f"{self._name}:{line}: {problem}")
