"""In by DATA or BDAT, out by DATA: no message becomes two, for any reader at the next hop."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.core.canonical import ChunkDecoder, DataDecoder, Decoder
from services.delivery.dots import blocks

PIECES = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"\r\n.\r\n", b"\n.\n", b"a", b"QUIT\r\n", b"\xff"])
CUTS = st.lists(st.integers(1, 7), min_size=1, max_size=8)


def cut(octets: bytes, sizes: list[int]) -> list[bytes]:
    """Return the octets in pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(octets):
        pieces.append(octets[at : at + sizes[turn % len(sizes)]])
        at, turn = at + len(pieces[-1]), turn + 1
    return pieces


def check_next_hop(decoder: Decoder) -> None:
    """Read what goes out as the most lenient MTA does, for which each CR and each LF ends a line."""
    message = b"".join(decoder.parts())
    wire = b"".join(blocks(decoder.parts()))
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", message) is None
    lines = re.split(rb"\r\n|\r|\n", wire)
    assert [at for at, line in enumerate(lines) if line == b"."] == [len(lines) - 2]
    strict = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])
    assert strict in (message, message + b"\r\n")


@given(st.lists(PIECES, max_size=14), CUTS)
def test_by_data(pieces: list[bytes], sizes: list[int]) -> None:
    decoder = DataDecoder()
    rest = None
    for piece in cut(b"".join(pieces) + b"\r\n.\r\n", sizes):
        rest = decoder.feed(piece)
        if rest is not None:
            break
    assert rest is not None
    if decoder.defect is None:
        check_next_hop(decoder)


@given(st.lists(PIECES, max_size=14), CUTS)
def test_by_bdat(pieces: list[bytes], sizes: list[int]) -> None:
    octets = b"".join(pieces)
    decoder, at_once = ChunkDecoder(), ChunkDecoder()
    for piece in cut(octets, sizes):
        decoder.feed(piece)
    decoder.end()
    at_once.feed(octets)
    at_once.end()
    assert b"".join(decoder.parts()) == b"".join(at_once.parts()) == re.sub(rb"\r\r\n|\r\n|\r|\n", b"\r\n", octets)
    assert decoder.defect == at_once.defect
    assert (decoder.size, decoder.normalised) == (at_once.size, at_once.normalised)
    lone = re.search(rb"(?:(?<!\r)\n|\r)\.[\r\n]|\n\.(?:\n|\r(?!\n))", b"\r\n" + octets)
    assert (decoder.defect is not None) == (lone is not None)
    check_next_hop(decoder)


@given(st.lists(PIECES, max_size=14), st.integers(0, 12))
def test_what_is_taken_in_turns_is_the_message(pieces: list[bytes], every: int) -> None:
    octets = b"Subject: x\r\n" + b"".join(pieces)
    whole, turns = ChunkDecoder(), ChunkDecoder()
    whole.feed(octets)
    whole.end()
    taken = b""
    for at, piece in enumerate(cut(octets, [3])):
        turns.feed(piece)
        if every and at % every == 0:
            taken += b"".join(turns.take())
            assert turns.held == 0
    turns.end()
    taken += b"".join(turns.take())
    assert taken == b"".join(whole.parts())
    assert turns.head(1_000) == whole.head(1_000)
    assert turns.head(5) == whole.head(5)
