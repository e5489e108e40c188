"""What may change in a published version of an event: a field with a default may be added, and nothing else.

A new member of an enumeration is refused as well. During a rolling upgrade old readers meet it, can't decode the whole
event, and put accepted mail among the dead letters: it takes a new optional field or a new version of the topic.
A changed default is refused because an event written before then means something else to a new reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_PROSE: Final = frozenset({"$schema", "$defs", "title", "description"})  # says nothing about the bytes
_MISSING: Final = object()


def changes(published: Schema, current: Schema) -> list[str]:
    """Return each forbidden difference between two JSON Schemas of one topic, as `field: what changed`."""
    return list(_Comparison(published, current).run())


class _Comparison:
    def __init__(self, published: Schema, current: Schema) -> None:
        self._published = published
        self._current = current
        self._seen: set[tuple[str, str]] = set()

    def run(self) -> Iterator[str]:
        yield from self._compare("", self._published, self._current)

    def _compare(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        refs = (old.get("$ref", ""), new.get("$ref", ""))
        if all(refs):
            if refs in self._seen:  # a struct that holds itself, or one used twice: once is enough
                return
            self._seen.add(refs)
        old, new = _resolve(old, self._published), _resolve(new, self._current)
        if "properties" in old and "properties" in new:
            yield from self._compare_fields(path, old, new)
        elif "enum" in old and "enum" in new:
            yield from _compare_members(path, old["enum"], new["enum"])
        elif "anyOf" in old and "anyOf" in new and len(old["anyOf"]) == len(new["anyOf"]):
            for left, right in zip(old["anyOf"], new["anyOf"], strict=True):
                yield from self._compare(path, left, right)
        elif old.get("type") == new.get("type") == "array":
            yield from self._compare_items(path, old, new)
        elif _bare(old) != _bare(new):
            yield f"{_name(path)}: changed from {_text(old)} to {_text(new)}"

    def _compare_fields(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = old["properties"], new["properties"]
        must_before, must_after = set(old.get("required", ())), set(new.get("required", ()))
        for field, schema in before.items():
            at = f"{path}.{field}" if path else field
            if field not in after:
                yield f"{at}: removed"
                continue
            if field in must_after - must_before:
                yield f"{at}: became required"
            elif field in must_before - must_after:
                yield f"{at}: became optional, and a reader of the published version needs it"
            elif not _same(schema.get("default", _MISSING), after[field].get("default", _MISSING)):
                yield f"{at}: default changed from {schema.get('default')!r} to {after[field].get('default')!r}"
            yield from self._compare(at, schema, after[field])
        for field in after:
            if field not in before and field in must_after:
                yield f"{f'{path}.{field}' if path else field}: new and required; a new field needs a default"
        rest = _PROSE | {"properties", "required"}
        if {k: v for k, v in old.items() if k not in rest} != {k: v for k, v in new.items() if k not in rest}:
            yield f"{_name(path)}: changed from {_text(old)} to {_text(new)}"

    def _compare_items(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = _bare(old), _bare(new)
        items = (before.pop("items", None), after.pop("items", None))
        fixed = (before.pop("prefixItems", []), after.pop("prefixItems", []))
        if before != after or len(fixed[0]) != len(fixed[1]) or (any(map(_plain, items)) and items[0] != items[1]):
            yield f"{_name(path)}: changed from {_text(old)} to {_text(new)}"
            return
        for left, right in zip(*fixed, strict=True):
            yield from self._compare(f"{path}[]", left, right)
        if isinstance(items[0], Mapping) and isinstance(items[1], Mapping):
            yield from self._compare(f"{path}[]", items[0], items[1])


def _compare_members(path: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    for member in old:
        if member not in new:
            yield f"{path}: no longer takes {member!r}"
    for member in new:
        if member not in old:
            yield f"{path}: newly takes {member!r}, which a reader of the published version can't decode"


def _same(old: object, new: object) -> bool:
    """Return whether two defaults mean the same; one that is a struct may have gained a field with a default."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return all(name in new and _same(value, new[name]) for name, value in old.items())
    return old == new


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = root["$defs"][reference.rpartition("/")[2]]
    return found


def _plain(items: object) -> bool:
    return not isinstance(items, Mapping)


def _bare(schema: Schema) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _PROSE and key != "default"}


def _name(path: str) -> str:
    return path or "the event"


def _text(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_text(option) for option in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return str(schema.get("title") or schema.get("type") or "anything")
