"""Every event survives the wire, and what would not is refused before it gets there."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events, wire
from schemas.catalog import TOPICS
from tests.samples import received, verdict

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
}


def anything(kind: Any, within: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of an annotation that event structs use; none has another of its own kind."""
    if kind in LEAVES:
        return LEAVES[kind]
    if isinstance(kind, type) and issubclass(kind, events.Event):
        hints = typing.get_type_hints(kind)
        fields = {name: anything(hints[name], (*within, kind)) for name in kind.__struct_fields__}
        return st.builds(kind, **fields)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return st.one_of([anything(option, within) for option in arguments])
    assert typing.get_origin(kind) is tuple, f"no strategy for {kind}"
    if arguments[-1] is Ellipsis:
        kinds = st.nothing() if arguments[0] in within else anything(arguments[0], within)
        return st.lists(kinds, max_size=0 if kinds.is_empty else 3).map(tuple)
    return st.tuples(*[anything(part, within) for part in arguments])


@pytest.mark.parametrize("struct", [topic.struct for topic in TOPICS], ids=lambda struct: struct.__name__)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_every_event_comes_back_as_it_was(struct: type[events.Event], data: st.DataObject) -> None:
    event = data.draw(anything(struct))
    assert wire.decode(wire.encode(event), struct) == event


def test_answers_of_one_process_come_back_each_by_itself() -> None:
    mail = received()
    alone = [verdict(mail, name) for name in ("auth", "content", "virus")]
    together = msgspec.structs.replace(alone[0], also=tuple(alone[1:]))
    back = wire.decode(wire.encode(together), events.Verdict)
    assert list(back.answers) == alone
    assert alone[0].answers == (alone[0],)


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_decode_or_are_undecodable(data: bytes) -> None:
    try:
        wire.decode(data, events.Received)
    except wire.Undecodable:
        return
    pytest.fail("random bytes made an event")


def departed(**changed: Any) -> events.Departed:
    fields: dict[str, Any] = {"id": "x", "key": "mail/a/b/x", "total": 1, "recipients": ()}
    return events.Departed(**fields | changed)


@pytest.mark.parametrize(
    "event",
    [
        departed(id="\ud800"),
        departed(recipients=("ok", "bad\udcff")),
        departed(total=2**64),
        departed(key=b"bytes"),
        events.Verdict(
            id="x",
            customer="a",
            scanner="auth",
            version="1",
            status=events.Status.CLEAN,
            scanned_at=1.0,
            origin=0,
            evidence=(events.Evidence(code="A", text="b", score=float("nan")),),
        ),
        events.Evidence(code="A", text="b", score=float("inf")),
    ],
    ids=["surrogate", "nested surrogate", "integer past 64 bits", "bytes", "nested NaN", "infinity"],
)
def test_what_no_reader_would_get_back_is_unencodable(event: events.Event) -> None:
    with pytest.raises(wire.Unencodable):
        wire.encode(event)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"id":"x","key":"k","total":"1","recipients":[]}',
        b'{"id":"x","key":"k","total":1}',
        b'{"id":"\xed\xa0\x80","key":"k","total":1,"recipients":[]}',
        b'{"id":"\\ud800","key":"k","total":1,"recipients":[]}',
        b'{"id":"x","key":"k","total":1,"recipients":[]} tail',
        b'{"unknown":' + b"[" * 100_000,
    ],
    ids=["empty", "null", "list", "type", "missing", "utf-8", "surrogate", "tail", "deep nesting in an unknown field"],
)
def test_what_is_no_event_is_undecodable(data: bytes) -> None:
    with pytest.raises(wire.Undecodable, match=r"^Departed: "):
        wire.decode(data, events.Departed)


def test_an_old_reader_survives_a_new_field() -> None:
    data = wire.encode(departed()).replace(b'"total":1', b'"total":1,"colour":{"new":[1,2]}')
    assert wire.decode(data, events.Departed) == departed()


def test_a_new_reader_fills_in_what_an_old_writer_did_not_know() -> None:
    data = b'{"name":"auth","version":"1"}'
    assert wire.decode(data, events.Scanner) == events.Scanner(name="auth", version="1", required=True)
