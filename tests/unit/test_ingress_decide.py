"""The decisions of the front door as values: no socket, no clock."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import wire
from schemas.events import Customer, Domain, Host, Scanner
from services.core import replies
from services.core.address import Address
from services.core.canonical import DataDecoder
from services.core.directory import Directory
from services.core.replies import Reply
from services.ingress import decide
from services.ingress.commands import BadCommand, parse_command, parse_helo, parse_path
from services.ingress.config import IngressConfig

CONFIG = IngressConfig(hostname="mx.gatepost.test")
CLIENT = decide.Client("192.0.2.7", 4321, "mx.sender.test", esmtp=True, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
OWN = b"Received: from a.test by mx.gatepost.test with ESMTP id 01HK153X00ABCDEFGHJKMNPQRS; Mon\r\n"


def customer(name: str, *domains: str, max_size: int = 1_000) -> Customer:
    relay = (Host(host="mx.test"),)
    hosted = tuple(Domain(name=domain, relay=relay, any_recipient=True) for domain in domains)
    return Customer(id=name, domains=hosted, max_size=max_size)


def directory() -> Directory:
    known = Directory()
    known.apply(customer("acme", "one.test", "two.test"))
    known.apply(customer("zeta", "three.test", max_size=5_000))
    known.apply(Scanner(name="virus", version="1"))
    known.caught_up()
    return known


def accepted(*addresses: str) -> list[decide.Accepted]:
    answers = [decide.recipient(f"TO:<{a}>", decide.Sender(""), 0, directory(), CONFIG) for a in addresses]
    return [answer for answer in answers if isinstance(answer, decide.Accepted)]


def test_recipients_are_split_by_customer_and_domain_in_the_order_of_their_coming() -> None:
    groups = decide.split(accepted("a@two.test", "b@one.test", "c@three.test", "d@two.test"))
    assert [[str(each.address) for each in group] for group in groups] == [
        ["a@two.test", "d@two.test"],
        ["b@one.test"],
        ["c@three.test"],
    ]


def test_the_event_says_what_smtp_said() -> None:
    (group,) = decide.split(accepted("a@one.test"))
    sender = decide.Sender("alice@sender.test", size=10, eight_bit=True, smtputf8=True)
    (event,) = decide.received(
        {"01HK153X00ABCDEFGHJKMNPQRS": group}, CLIENT, sender, size=12, now=5.0, server="mx", plan=("virus",)
    )
    assert (event.customer, event.domain, event.key) == ("acme", "one.test", "mail/acme/RS/01HK153X00ABCDEFGHJKMNPQRS")
    assert (event.size, event.received_at, event.server, event.plan) == (12, 5.0, "mx", ("virus",))
    envelope = event.envelope
    assert (envelope.reverse_path, envelope.recipients) == ("alice@sender.test", ("a@one.test",))
    assert (envelope.client_ip, envelope.client_port, envelope.helo) == ("192.0.2.7", 4321, "mx.sender.test")
    assert (envelope.esmtp, envelope.tls) == (True, "TLSv1.3 TLS_AES_256_GCM_SHA384")
    assert (envelope.eight_bit, envelope.smtputf8) == (True, True)


def test_the_strictest_customer_sets_the_size() -> None:
    assert decide.size_limit(accepted("c@three.test"), CONFIG) == 5_000
    assert decide.size_limit(accepted("c@three.test", "a@one.test"), CONFIG) == 1_000
    assert decide.size_limit(accepted("c@three.test"), msgspec.structs.replace(CONFIG, max_size=10)) == 10


def test_before_the_directory_is_known_nobody_is_refused_for_good() -> None:
    new = Directory()
    assert decide.sender("FROM:<a@b.test>", new, CONFIG) == decide.Refusal(replies.UNAVAILABLE)
    new.caught_up()
    assert decide.sender("FROM:<a@b.test>", new, CONFIG) == decide.Refusal(replies.UNAVAILABLE)


@pytest.mark.parametrize(
    ("head", "loop"),
    [
        (b"", False),
        (b"Received: x\r\n" * 50, False),
        (b"Received: x\r\n" * 51, True),
        (b"RECEIVED: x\r\n" * 51, True),
        (b"X-Received: x\r\n" * 60, False),
        (b"Subject: x\r\n received: y\r\n" * 60, False),
        (OWN * 2, False),
        (OWN * 3, True),
        (OWN.replace(b" by ", b"\r\n\tby ") * 3, True),
        (OWN.replace(b"mx.gatepost.test", b"MX.gatepost.test") * 3, True),
        (OWN.replace(b"mx.gatepost.test", b"mxxgatepost.test") * 3, False),
        (OWN.replace(b"mx.gatepost.test", b"mx.gatepost.test.evil.test") * 3, False),
        (OWN.replace(b"id 01HK", b"id forged") * 3, False),
        (b"X-Gatepost: id=01HK153X00ABCDEFGHJKMNPQRS; status=clean\r\n", False),
    ],
)
def test_loops(head: bytes, *, loop: bool) -> None:
    assert decide.looped(head, CONFIG) is loop


def test_one_pass_may_be_one_too_many_where_the_operator_says_so() -> None:
    strict = msgspec.structs.replace(CONFIG, max_passes=1)
    assert decide.looped(OWN, strict)
    assert decide.looped(b"x-gatepost: score=0; id=01HK153X00ABCDEFGHJKMNPQRS\r\n", strict)
    assert not decide.looped(b"X-Gatepost: id=forged\r\n", strict)


def test_a_message_is_too_big_by_one_octet() -> None:
    decoder = DataDecoder()
    decoder.feed(b"x" * 8 + b"\r\n.\r\n")
    assert decide.content(decoder, 10, CONFIG) is None
    assert decide.content(decoder, 9, CONFIG) == decide.Refusal(replies.TOO_BIG, "too-big")


def test_a_rejection_carries_the_clients_words_cut_and_clean() -> None:
    refusal = decide.Refusal(replies.BAD_RECIPIENT, "bad-recipient")
    client = decide.Client("192.0.2.7", helo="evil\u202e\ud800")
    event = decide.rejection(refusal, client, 1.0, reverse_path="<a\r\nb>", recipient="x" * 1_000)
    assert (event.reply, event.reason) == ("553 5.1.3 Recipient address not valid", "bad-recipient")
    assert (event.helo.isascii(), event.reverse_path, len(event.recipient)) == (False, "<a??b>", 320)
    assert wire.decode(wire.encode(event), type(event)) == event


@pytest.mark.parametrize(
    ("in_all", "same", "reason"),
    [(0, 0, None), (999, 49, None), (1_000, 0, "too-many-connections"), (60, 50, "too-many-connections-from-address")],
)
def test_connections_are_counted(in_all: int, same: int, reason: str | None) -> None:
    refusal = decide.connection(in_all, same, CONFIG)
    assert (refusal.reason if refusal else None) == reason


def test_no_reply_breaks_the_protocol_or_gives_anything_away() -> None:
    said = [value for value in vars(replies).values() if isinstance(value, Reply)]
    assert len(said) > 40
    for reply in said:
        line = str(reply)
        assert line.isascii()
        assert line.isprintable()
        assert len(line) <= 510
        assert not reply.enhanced or reply.enhanced[0] == str(reply.code)[0], line
        assert not reply.enhanced.startswith("3")


def test_commands_are_read_strictly() -> None:
    assert parse_command(b"mail from:<a@b.test> ") == ("MAIL", "from:<a@b.test>")
    for bad in (b"NOOP \0", b"NOOP \r", b"NOOP \x7f", b"NOOP \xff"):
        with pytest.raises(BadCommand):
            parse_command(bad)
    assert parse_path("FROM:", 'from: <"a>b"@c.test> SIZE=1 X') == ('"a>b"@c.test', {"SIZE": "1", "X": None})
    for helo in ("", "a b", "x" * 256):
        with pytest.raises(BadCommand):
            parse_helo(helo)


@given(st.text(st.sampled_from('TO:<>"\\ @a.=\u00fc\t'), max_size=30))
def test_a_path_is_read_to_its_end_or_not_at_all(text: str) -> None:
    try:
        mailbox, parameters = parse_path("TO:", text)
    except BadCommand:
        return
    assert f"<{mailbox}>" in text
    assert all(name == name.upper() for name in parameters)


@given(st.text(max_size=40))
def test_what_is_taken_as_recipient_is_one_address_in_one_domain_of_ours(text: str) -> None:
    answer = decide.recipient(f"TO:<{text}@one.test>", decide.Sender("", smtputf8=True), 0, directory(), CONFIG)
    if isinstance(answer, decide.Accepted):
        assert answer.address == Address(answer.address.local, "one.test")
        assert "\r" not in str(answer.address)
        assert "\n" not in str(answer.address)
