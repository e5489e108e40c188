"""One suite for every Session: the MTA in memory, and aiosmtplib against a real server on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from schemas.events import Host
from services.core.clock import SystemClock
from services.delivery.config import DeliveryConfig
from services.delivery.decide import Kind, Reply, Stage
from services.delivery.dial import Dial, SmtpDial, Unreachable
from services.delivery.fakes import Arrived, Manners, MemoryMta
from services.delivery.session import Letter, Session
from services.runtime.fakes_dns import FakeDns
from tests.loopback_mta import LoopbackMta, running

CONFIG = DeliveryConfig(hostname="mx.gatepost.test", relay_command_seconds=5, relay_reply_seconds=5)
BODY = b"Subject: x\r\n\r\nbody\r\n"


@dataclasses.dataclass
class Bench:
    """An MTA and how to reach it."""

    manners: Manners
    dial: Dial
    host: Host
    arrived: list[Arrived]

    async def open(self) -> Session:
        return await self.dial(self.host)


@pytest.fixture(params=["memory", "smtp"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    manners = Manners()
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            memory = MemoryMta(manners)
            yield Bench(manners, memory, Host(host="mta.test"), memory.arrived)
        else:
            mta = await stack.enter_async_context(running(LoopbackMta(manners)))
            yield Bench(manners, SmtpDial(CONFIG, SystemClock(), FakeDns()), mta.host, mta.arrived)


def letter(*recipients: str) -> Letter:
    return Letter("a@sender.test", recipients or ("b@example.test",), (BODY,), len(BODY), eight_bit=False)


def kinds(replies: dict[str, Reply]) -> dict[str, Kind]:
    return {recipient.partition("@")[0]: reply.kind for recipient, reply in replies.items()}


async def test_a_message_is_delivered(bench: Bench) -> None:
    session = await bench.open()
    done = await session.send(letter())
    assert done.reusable
    assert done.replies["b@example.test"] == Reply(250, "2.0.0 taken", Stage.FINAL)
    assert [(a.reverse_path, a.recipients, a.content) for a in bench.arrived] == [
        ("a@sender.test", ("b@example.test",), BODY)
    ]
    await session.quit()


async def test_a_session_serves_many(bench: Bench) -> None:
    session = await bench.open()
    for _ in range(3):
        assert await session.reset()
        assert (await session.send(letter())).reusable
    assert len(bench.arrived) == 3
    await session.quit()
    assert not await session.reset()


async def test_each_recipient_has_its_answer(bench: Bench) -> None:
    bench.manners.recipients = {"c@example.test": (450, "4.2.1 busy"), "d@example.test": (550, "5.1.1 unknown")}
    session = await bench.open()
    done = await session.send(letter("b@example.test", "c@example.test", "d@example.test"))
    assert kinds(done.replies) == {"b": Kind.DELIVERED, "c": Kind.TEMPORARY, "d": Kind.PERMANENT}
    assert [a.recipients for a in bench.arrived] == [("b@example.test",)]
    session.close()


async def test_refused_recipients_keep_their_answer_when_data_is_refused(bench: Bench) -> None:
    bench.manners.recipients = {"d@example.test": (550, "5.1.1 unknown")}
    bench.manners.data = (451, "4.3.0 later")
    session = await bench.open()
    done = await session.send(letter("b@example.test", "d@example.test"))
    assert done.reusable
    assert kinds(done.replies) == {"b": Kind.TEMPORARY, "d": Kind.PERMANENT}
    session.close()


@pytest.mark.parametrize(
    ("mail", "kind"), [((451, "4.3.0 later"), Kind.TEMPORARY), ((550, "5.7.1 no"), Kind.PERMANENT)]
)
async def test_a_refused_sender_is_everybodys_answer(bench: Bench, mail: tuple[int, str], kind: Kind) -> None:
    bench.manners.mail = mail
    session = await bench.open()
    done = await session.send(letter("b@example.test", "c@example.test"))
    assert kinds(done.replies) == {"b": kind, "c": kind}
    assert await session.reset()
    session.close()


async def test_nobody_accepted_means_no_data(bench: Bench) -> None:
    bench.manners.recipients = {"b@example.test": (550, "5.1.1 unknown")}
    session = await bench.open()
    assert kinds((await session.send(letter())).replies) == {"b": Kind.PERMANENT}
    assert not bench.arrived
    bench.manners.recipients = {}
    assert await session.reset()
    assert kinds((await session.send(letter())).replies) == {"b": Kind.DELIVERED}
    session.close()


async def test_too_many_recipients_go_in_further_transactions(bench: Bench) -> None:
    bench.manners.most_recipients = 2
    session = await bench.open()
    done = await session.send(letter(*(f"r{n}@example.test" for n in range(5))))
    assert set(kinds(done.replies).values()) == {Kind.DELIVERED}
    assert [len(a.recipients) for a in bench.arrived] == [2, 2, 1]
    session.close()


async def test_a_connection_lost_after_the_final_dot_is_ambiguous(bench: Bench) -> None:
    bench.manners.hang_up = Stage.FINAL
    bench.manners.recipients = {"d@example.test": (550, "5.1.1 unknown")}
    session = await bench.open()
    done = await session.send(letter("b@example.test", "d@example.test"))
    assert done.broken is None
    assert not done.reusable
    assert kinds(done.replies) == {"b": Kind.TEMPORARY, "d": Kind.PERMANENT}
    assert done.replies["b@example.test"].ambiguous
    assert not done.replies["d@example.test"].ambiguous
    assert not await session.reset()


async def test_who_was_left_for_a_further_transaction_is_not_ambiguous(bench: Bench) -> None:
    bench.manners.hang_up = Stage.FINAL
    bench.manners.most_recipients = 1
    session = await bench.open()
    done = await session.send(letter("b@example.test", "c@example.test"))
    assert done.replies["b@example.test"].ambiguous
    assert not done.replies["c@example.test"].ambiguous
    assert kinds(done.replies) == {"b": Kind.TEMPORARY, "c": Kind.TEMPORARY}


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
async def test_a_connection_lost_before_the_message_is_not(bench: Bench, stage: Stage) -> None:
    bench.manners.hang_up = stage
    session = await bench.open()
    done = await session.send(letter("b@example.test", "c@example.test"))
    assert done.broken is None
    assert kinds(done.replies) == {"b": Kind.TEMPORARY, "c": Kind.TEMPORARY}
    assert not any(reply.ambiguous for reply in done.replies.values())
    assert not done.reusable


@pytest.mark.parametrize("manners", [Manners(hang_up=Stage.MAIL), Manners(mail=(421, "4.3.2 closing"))])
async def test_a_host_that_fails_before_mail_is_broken(bench: Bench, manners: Manners) -> None:
    bench.manners.hang_up, bench.manners.mail = manners.hang_up, manners.mail
    session = await bench.open()
    done = await session.send(letter())
    assert done.broken is not None
    assert not done.replies
    assert not done.reusable


@pytest.mark.parametrize("when", ["recipients", "data", "final"])
async def test_a_host_that_goes_away_says_so(bench: Bench, when: str) -> None:
    bye = (421, "4.3.2 closing")
    match when:
        case "recipients":
            bench.manners.recipients = {"c@example.test": bye}
        case "data":
            bench.manners.data = bye
        case _:
            bench.manners.final = bye
    session = await bench.open()
    done = await session.send(letter("b@example.test", "c@example.test"))
    assert done.closing is not None
    assert done.closing.code == 421
    assert not done.reusable
    assert kinds(done.replies) == {"b": Kind.TEMPORARY, "c": Kind.TEMPORARY}
    assert not any(reply.ambiguous for reply in done.replies.values())


@pytest.mark.parametrize("greeting", [(421, "4.3.2 too busy"), (554, "5.3.2 no mail here")])
async def test_a_bad_greeting_is_no_session(bench: Bench, greeting: tuple[int, str]) -> None:
    bench.manners.greeting = greeting
    with pytest.raises(Unreachable, match=str(greeting[0])):
        await bench.open()
