"""What is thought of a client, and who is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.core.errors import ConfigError
from services.ingress.reputation import (
    DnsList,
    Facts,
    greeted,
    on_list,
    parse_lists,
    question,
    summed,
    weigh,
    with_helo,
)
from services.ingress.reputation_files import NetworkFile
from services.ingress.reputation_lookup import Lookup
from services.runtime.fakes_dns import FakeDns

ZEN, GOOD = DnsList("zen.test", 3.0), DnsList("good.test", -4.0)
IP = "192.0.2.7"


def codes(facts: Facts) -> list[str]:
    return [evidence.code for evidence in weigh(IP, facts).evidence]


def test_lists_are_written_with_their_weights() -> None:
    assert parse_lists(("zen.test=3", "good.test=-4")) == (ZEN, GOOD)
    for bad in ("zen.test", "zen.test=", "=3", "zen.test=x", "zen.test=0", "zen.test=999", "ze n=3"):
        with pytest.raises(ConfigError, match="GATEPOST_INGRESS_DNSBL"):
            parse_lists((bad,))


def test_the_question_has_octets_or_nibbles_last_first() -> None:
    assert question(IP, "zen.test") == "7.2.0.192.zen.test"
    assert question("2001:db8::7", "zen.test") == "7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.zen.test"


def test_only_an_answer_that_lists_can_mean_is_one() -> None:
    assert on_list(("127.0.0.2",))
    assert on_list(("192.0.2.1", "127.0.0.4"))
    for answer in ((), ("127.255.255.254",), ("127.255.255.1",), ("192.0.2.1",), (b"\xff",), ("text",)):
        assert not on_list(answer)


def test_weights_add_up_and_no_answer_is_no_opinion() -> None:
    assert weigh(IP, Facts()).score == 0
    assert weigh(IP, Facts(((ZEN, None),), None, None)).evidence == ()
    both = weigh(IP, Facts(((ZEN, ("127.0.0.2",)), (GOOD, ("127.0.0.1",)))))
    assert both.score == -1.0
    assert [(e.code, e.text) for e in both.evidence] == [
        ("FRONT_LISTED", "192.0.2.7 is on zen.test"),
        ("FRONT_WELCOME", "192.0.2.7 is on good.test"),
    ]


def test_reverse_dns() -> None:
    assert codes(Facts(names=())) == ["FRONT_NO_REVERSE_DNS"]
    assert codes(Facts(names=("mx.a.test",), confirmed=False)) == ["FRONT_REVERSE_DNS_DIFFERS"]
    assert codes(Facts(names=("mx.a.test",), confirmed=True)) == []
    assert codes(Facts(names=("mx.a.test",), confirmed=None)) == []


@pytest.mark.parametrize(
    ("helo", "code"),
    [
        ("mx.sender.test", None),
        ("mx.sender.test.", None),
        ("[192.0.2.7]", None),
        ("[IPv6:2001:db8::1]", "FRONT_HELO_ODD"),
        ("[192.0.2.8]", "FRONT_HELO_ODD"),
        ("192.0.2.7", "FRONT_HELO_ODD"),
        ("alone", "FRONT_HELO_ODD"),
        ("localhost", "FRONT_HELO_FORGED"),
        ("MX.gatepost.test", "FRONT_HELO_FORGED"),
    ],
)
def test_the_name_it_calls_itself_by(helo: str, code: str | None) -> None:
    evidence = greeted(helo, IP, "mx.gatepost.test")
    assert (evidence.code if evidence else None) == code
    assert with_helo(summed(()), evidence).score == (evidence.score if evidence else 0.0)


ZONE = {
    ("7.2.0.192.zen.test", "A"): ("127.0.0.2",),
    ("7.2.0.192.in-addr.arpa", "PTR"): ("other.test", "mx.a.test"),
    ("mx.a.test", "A"): ("192.0.2.1", IP),
    ("7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): ("mx6.a.test",),
    ("mx6.a.test", "AAAA"): ("2001:db8::7",),
}


async def test_everything_is_asked_at_once() -> None:
    lookup = Lookup(FakeDns(ZONE), (ZEN, GOOD), reverse=True, within=2.0)
    assert await lookup.facts(IP) == Facts(
        ((ZEN, ("127.0.0.2",)), (GOOD, ())), ("other.test", "mx.a.test"), confirmed=True
    )
    six = await lookup.facts("2001:db8::7")
    assert (six.names, six.confirmed) == (("mx6.a.test",), True)
    stranger = await lookup.facts("192.0.2.8")
    assert (stranger.names, stranger.confirmed) == ((), False)


async def test_a_list_that_is_silent_or_slow_is_unknown_and_the_others_count() -> None:
    dns = FakeDns(ZONE)
    dns.silent.add("7.2.0.192.good.test")
    dns.slow["7.2.0.192.in-addr.arpa"] = 60.0
    lookup = Lookup(dns, (ZEN, GOOD), reverse=True, within=0.2)
    began = asyncio.get_running_loop().time()
    assert await lookup.facts(IP) == Facts(((ZEN, ("127.0.0.2",)), (GOOD, None)), None, None)
    assert asyncio.get_running_loop().time() - began < 5.0
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)
    assert all(task.done() for task in others)


async def test_dns_that_is_down_says_nothing_against_anybody() -> None:
    dns = FakeDns(ZONE)
    dns.down = True
    assert weigh(IP, await Lookup(dns, (ZEN,), reverse=True, within=2.0).facts(IP)).evidence == ()


async def test_a_name_whose_address_nobody_knows_is_not_held_against_it() -> None:
    dns = FakeDns({key: value for key, value in ZONE.items() if key[0] != "mx.a.test"})
    dns.silent.add("mx.a.test")
    facts = await Lookup(dns, (), reverse=True, within=2.0).facts(IP)
    assert (facts.names, facts.confirmed) == (("other.test", "mx.a.test"), None)


async def test_with_nothing_to_ask_nothing_is_asked() -> None:
    dns = FakeDns(ZONE)
    lookup = Lookup(dns, (), reverse=False, within=2.0)
    assert not lookup
    assert await lookup.facts(IP) == Facts()
    assert dns.asked == []


async def test_a_file_is_read_again_when_it_changes_and_kept_when_it_breaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "block"
    path.write_text("# ours\n192.0.2.0/24\n\n2001:db8::/32 # theirs\n")
    file = NetworkFile("GATEPOST_INGRESS_BLOCK_FILE", str(path))
    await file.load()
    assert (IP in file.networks, "198.51.100.1" in file.networks) == (True, False)
    await file.refresh()
    path.write_text("198.51.100.1\n")
    await file.refresh()
    assert (IP in file.networks, "198.51.100.1" in file.networks) == (False, True)
    path.write_text("198.51.100.1\n192.0.2.1/24\n")
    await file.refresh()
    assert "198.51.100.1" in file.networks
    assert "block:2: '192.0.2.1/24' is neither an address nor a network" in caplog.text
    path.unlink()
    await file.refresh()
    assert "198.51.100.1" in file.networks


async def test_a_file_that_can_not_be_used_at_the_start_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"GATEPOST_INGRESS_ALLOW_FILE: .*none: No such file"):
        await NetworkFile("GATEPOST_INGRESS_ALLOW_FILE", str(tmp_path / "none")).load()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not text"):
        await NetworkFile("GATEPOST_INGRESS_ALLOW_FILE", str(tmp_path / "binary")).load()
    empty = NetworkFile("GATEPOST_INGRESS_ALLOW_FILE", "")
    await empty.load()
    await empty.refresh()
    assert not empty.networks
