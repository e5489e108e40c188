"""The timeline of a message, as a person reads it."""

from __future__ import annotations

import time

import pytest

from schemas.events import (
    Act,
    Action,
    Branch,
    Command,
    Deferred,
    Direction,
    Disposition,
    Envelope,
    Event,
    Evidence,
    Outcome,
    QuarantineCommand,
    QuarantineRequest,
    Received,
    Rechecked,
    Rejection,
    Rescan,
    State,
    Status,
)
from services.cli.trace import _span, moment
from services.core.errors import ConfigError, UnreadableEvent
from services.core.heading import Heading, heading_of
from services.trace.decide import EVENTS, address_of, facts, kept, refusal_id
from services.trace.timeline import standing, timeline
from tests.samples import NOW, received, verdict

A, B = "a@example.test", "b@example.test"
MESSAGE = received(
    envelope=Envelope(
        reverse_path="x@sender.test", recipients=(A, B), client_ip="192.0.2.7", client_port=4321, helo="mx.sender.test"
    ),
    connected_at=NOW - 0.4,
    mail_at=NOW - 0.3,
    data_at=NOW - 0.1,
    subject="Hello",
    front=(Evidence(code="LISTED", text="a list has it", score=2.0),),
)


def disposition(*branches: Branch, **changes: object) -> Disposition:
    values = {"status": Status.VIRUS, "score": 9.5, "decided_at": NOW + 2, **changes}
    return Disposition(received=MESSAGE, branches=branches, **values)  # type: ignore[arg-type]  # as the test says


HOLD = Branch(recipients=(A,), action=Action.QUARANTINE, rule="virus", reason="virus says virus")
RELAY = Branch(
    recipients=(B,),
    action=Action.DELIVER,
    rule="default",
    reason="no rule objects",
    tag_subject="[X]",
    strip=("dangerous", ".iso"),
)
EVENTS_OF_IT: list[tuple[float, Event]] = [
    (NOW + 0.01, MESSAGE),
    (
        NOW + 1,
        verdict(MESSAGE, "virus", Status.VIRUS, scanned_at=NOW + 1, engine="clamd 1.4", elapsed_ms=12.5),
    ),
    (NOW + 1, Rescan(received=MESSAGE, scanners=("content",), attempt=1, origin=0, asked_at=NOW + 1.5)),
    (NOW + 2, disposition(HOLD, RELAY)),
    (
        NOW + 3.5,
        Deferred(
            disposition=disposition(RELAY),
            branch=0,
            recipients=(B,),
            attempts=1,
            since=NOW,
            next_at=NOW + 63,
            reply="451 later",
            tried_at=NOW + 3,
            host="mx.example.test:25",
        ),
    ),
    (
        NOW + 64,
        Outcome(
            id=MESSAGE.id,
            customer="example",
            key="k",
            recipients=(B,),
            total=2,
            state=State.DELIVERED,
            at=NOW + 64,
            received_at=NOW,
            host="mx.example.test:25",
            reply="250 OK",
            tls="TLSv1.3",
            attempts=2,
            possible_duplicate=True,
            removed=("run.exe", ""),
        ),
    ),
    (
        NOW + 70,
        QuarantineCommand(
            command_id="c", id=MESSAGE.id, customer="example", action=Command.RELEASE, by="olga", at=NOW + 70
        ),
    ),
    (
        NOW + 70.5,
        Rescan(received=MESSAGE, scanners=("virus",), attempt=0, origin=-1, asked_at=NOW + 70.5, release="c"),
    ),
    (
        NOW + 71,
        Rechecked(
            id=MESSAGE.id,
            customer="example",
            release="c",
            scanner="virus",
            status=Status.VIRUS,
            text="EICAR once more",
            at=NOW + 71,
        ),
    ),
    (
        NOW + 72,
        QuarantineRequest(
            request_id="r",
            id=MESSAGE.id,
            customer="example",
            act=Act.RELEASE_TO,
            recipients=(A,),
            by="olga",
            at=NOW + 72,
            to="lab@example.test",
        ),
    ),
]


def test_a_message_from_connect_to_outcome() -> None:
    steps = timeline(reversed(EVENTS_OF_IT))
    assert not any(line.startswith("goes out") for step in steps for line in step.lines)
    assert [(round(step.at - NOW, 2), step.what) for step in steps] == [
        (-0.4, "connected from 192.0.2.7:4321"),
        (-0.3, "MAIL <x@sender.test>"),
        (-0.1, "the message begins to come in"),
        (0.0, "all of it is here, 100 octets"),
        (0.01, "stored and published"),
        (1.0, "virus says virus, score 0.0"),
        (1.5, "asks content again, for the 1st time"),
        (2.0, "decided: virus, score 9.5"),
        (3.0, f"attempt 1 at mx.example.test:25 put off for {B}"),
        (64.0, f"delivered: {B}"),
        (70.0, "release asked by olga"),
        (70.5, "virus must look once more before the release"),
        (71.0, "virus says virus, on a second look"),
        (72.0, f"a copy to lab@example.test for {A}, by olga"),
    ]
    said = "\n".join(line for step in steps for line in step.lines)
    for part in (
        "EHLO mx.sender.test, no TLS",
        f"RCPT <{A}>",
        "must answer: auth, virus",
        "+2.0  LISTED  a list has it",
        "version 1, clamd 1.4; took 12.5 ms",
        "VIRUS  virus found it",
        "rule virus: virus says virus",
        "subject tagged [X]",
        "answer: 451 later",
        "next attempt in 60 s",
        "attempt 2 at mx.example.test:25, TLSv1.3",
        "perhaps twice",
        "takes out attachments: dangerous, .iso",
        "without its attachments run.exe, (no name)",
        "EICAR once more",
    ):
        assert part in said, said


def test_where_it_stands_says_why_and_an_outcome_has_the_last_word() -> None:
    def last(count: int) -> dict[str, str]:
        return standing(EVENTS_OF_IT[:count])

    assert last(3) == {}
    assert last(4) == {
        A: "rule virus: virus says virus",
        B: "rule default: no rule objects",
    }
    assert last(5)[B] == "attempt 1 at mx.example.test:25: 451 later"
    late = (NOW + 99, disposition(RELAY, decided_at=NOW + 99))
    for order in ([*EVENTS_OF_IT, late], [late, *reversed(EVENTS_OF_IT)]):
        assert standing(order)[B] == "mx.example.test:25: 250 OK"


@pytest.mark.parametrize(("stamp", "event"), EVENTS_OF_IT, ids=[type(event).__name__ for _, event in EVENTS_OF_IT])
def test_what_is_kept_tells_the_same(stamp: float, event: Event) -> None:
    row = facts(event, stamp).event
    again = kept(row["topic"], row["event"])
    if isinstance(event, Received):
        assert again == event
    whole, bare = timeline([(stamp, event)]), timeline([(row["at"], again)])
    assert whole == bare


def test_every_event_of_the_trace_has_a_key_of_its_own() -> None:
    assert {type(event) for _, event in EVENTS_OF_IT} | {Rejection} == set(EVENTS.values())
    steps = [facts(event, stamp).event["step"] for stamp, event in EVENTS_OF_IT]
    assert len(set(steps)) == len(steps)


def test_a_message_published_again_is_a_step_of_its_own() -> None:
    again = received(id=MESSAGE.id, recovered=True)
    (step,) = timeline([(NOW + 99, again)])
    assert (step.at, step.what) == (NOW + 99, "published again from the store")
    assert facts(again, NOW + 99).event["step"] != facts(MESSAGE, NOW).event["step"]


def test_a_refused_connection_and_a_refused_recipient() -> None:
    refusal = Rejection(
        client_ip="203.0.113.9",
        client_port=25,
        connected_at=NOW - 1,
        at=NOW,
        reason="unknown-recipient",
        reply="550 5.1.1 No such recipient here",
        helo="spam",
        reverse_path="<x@spam.test> SIZE=1",
        recipient="<nobody@example.test>",
    )
    first, last = timeline([(NOW, refusal)])
    assert first.what == "connected from 203.0.113.9:25"
    assert last.what == "refused: unknown-recipient"
    assert last.lines == (
        "EHLO spam",
        "MAIL <x@spam.test>",
        "RCPT <nobody@example.test>",
        "answer: 550 5.1.1 No such recipient here",
    )
    assert standing([(NOW, refusal)]) == {"nobody@example.test": "unknown-recipient: 550 5.1.1 No such recipient here"}
    assert refusal_id(refusal) == refusal_id(refusal)


def test_a_refusal_before_a_word_says_what_is_held_against_the_client() -> None:
    listed = Evidence(code="FRONT_BLOCKED", text="203.0.113.0/24 is on GATEPOST_INGRESS_BLOCK_FILE")
    refusal = Rejection(client_ip="203.0.113.9", at=NOW, reason="blocked", reply="554 no", evidence=(listed,))
    (step,) = timeline([(NOW, refusal)])
    assert step.lines == (
        "before it had said anything that we read",
        "FRONT_BLOCKED  203.0.113.0/24 is on GATEPOST_INGRESS_BLOCK_FILE",
        "answer: 554 no",
    )


@pytest.mark.parametrize(
    ("said", "address"),
    [("<a@b.test> SIZE=1", "a@b.test"), ("a@b.test BODY=8BITMIME", "a@b.test"), ("<>", ""), ("", ""), ("<a", "a")],
)
def test_the_address_in_what_a_client_said(said: str, address: str) -> None:
    assert address_of(said) == address


def test_an_event_about_no_id_is_refused() -> None:
    with pytest.raises(UnreadableEvent):
        facts(received(id="x" * 26), NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0.0),
        ("30m", NOW - 1_800),
        ("2d", NOW - 172_800),
        ("2026-11-25", 1_795_564_800.0),
        ("2026-11-25T09:30:00Z", 1_795_599_000.0),
        ("2026-11-25 09:30", 1_795_599_000.0),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, expected: float) -> None:
    assert moment(text, NOW) == expected
    assert time.gmtime(1_795_564_800).tm_year == 2026


@pytest.mark.parametrize("text", ["yesterday", "5", "2026-13-01", "9" * 9 + "d"])
def test_what_is_no_time_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError):
        moment(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12.3 ms"), (16.2322, "16.232 s "), (600, "10.0 min"), (86_400, "24.0 h")]
)
def test_spans_are_read_in_the_unit_that_means_something(seconds: float, text: str) -> None:
    assert _span(seconds) == text


@pytest.mark.parametrize(
    ("message", "heading"),
    [
        (b"Subject: a\r\nMessage-ID: <1@x>\r\n\r\nb", Heading("a", "1@x")),
        (b"message-id:\r\n <2@x>\r\nsubject: =?utf-8?q?=C3=BC?=\r\n\r\n", Heading("ü", "2@x")),
        (b"Subject: first\r\nSubject: second\r\n\r\nMessage-ID: <no@x>", Heading("first", "")),
        (b"", Heading()),
    ],
)
def test_subject_and_message_id_come_from_the_header_alone(message: bytes, heading: Heading) -> None:
    assert heading_of(message) == heading


def test_what_goes_out_says_who_handed_it_in() -> None:
    event = received(direction=Direction.OUTBOUND, submitter="mta@example.test")
    lines = [line for step in timeline([(NOW + 0.01, event)]) for line in step.lines]
    assert "goes out, handed in by mta@example.test" in lines
