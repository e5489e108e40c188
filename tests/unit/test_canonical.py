"""Where a message ends and what its lines become, whichever way the octets come in."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.core.canonical import DataDecoder, Defect


def decode(*pieces: bytes, line_limit: int = 65_536) -> tuple[DataDecoder, bytes | None]:
    decoder = DataDecoder(line_limit=line_limit)
    rest: bytes | None = None
    for piece in pieces:
        rest = decoder.feed(piece) if rest is None else rest + piece
    return decoder, rest


def body(decoder: DataDecoder) -> bytes:
    return b"".join(decoder.parts())


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"a\r\n\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..a\r\n.b\r\n.\r\n", b"..\r\n.a\r\nb\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"\xff\xc3\r\n.\r\n", b"\xff\xc3\r\n"),
    ],
)
def test_a_well_formed_message_passes_unchanged_but_for_its_stuffed_dots(wire: bytes, message: bytes) -> None:
    decoder, rest = decode(wire)
    assert (body(decoder), rest, decoder.defect, decoder.normalised) == (message, b"", None, False)
    assert decoder.size == len(message)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\r\r\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\r\r\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n\rb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n..\r\n.\r\n", b"a\r\n..\r\n"),
        (b"a\r\r\n.\r\n", b"a\r\n"),
    ],
)
def test_other_line_ends_become_crlf_once(wire: bytes, message: bytes) -> None:
    decoder, rest = decode(wire)
    assert (body(decoder), rest, decoder.defect, decoder.normalised) == (message, b"", None, True)


ENDS = (b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r")


@pytest.mark.parametrize(
    "variant",
    [before + b"." + after for before in ENDS for after in ENDS if not (before.endswith(b"\r\n") and after == b"\r\n")],
)
def test_no_lone_dot_but_the_strict_one_ends_data_and_each_is_refused(variant: bytes) -> None:
    decoder, rest = decode(b"a" + variant + b"MAIL FROM:<b@c.test>\r\n.\r\nQUIT\r\n")
    assert rest == b"QUIT\r\n"
    assert decoder.defect is Defect.SMUGGLING


@pytest.mark.parametrize("first", [b".\n", b".\r", b".\r\r\n"])
def test_a_lone_dot_on_the_first_line_is_smuggling_too(first: bytes) -> None:
    decoder, rest = decode(first + b"x\r\n.\r\n")
    assert (rest, decoder.defect) == (b"", Defect.SMUGGLING)


def test_nul_is_a_defect() -> None:
    assert decode(b"a\0b\r\n.\r\n")[0].defect is Defect.NUL


@pytest.mark.parametrize("size", [9, 10, 11])
@pytest.mark.parametrize("cuts", [1, 3, 100])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(size: int, cuts: int) -> None:
    wire = b"ab\r\n" + b"x" * (size - 2) + b"\r\nab\r\n.\r\n"
    decoder, _ = decode(*(wire[at : at + cuts] for at in range(0, len(wire), cuts)), line_limit=10)
    assert decoder.defect is (Defect.LONG_LINE if size > 10 else None)


def test_a_line_without_end_is_found_too_long_before_it_ends() -> None:
    decoder, rest = decode(*[b"x" * 100] * 10, line_limit=500)
    assert (rest, decoder.defect) == (None, Defect.LONG_LINE)


def test_what_is_dropped_is_counted_but_not_kept() -> None:
    decoder = DataDecoder()
    decoder.feed(b"x" * 1000)
    decoder.drop()
    assert decoder.feed(b"y" * 1000 + b"\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"
    assert decoder.size == 2002
    assert decoder.parts() == []


def test_a_large_message_comes_in_pieces_that_join_to_it() -> None:
    line = b"0123456789" * 7 + b"\r\n"
    wire = line * 50_000 + b".\r\n"
    decoder, rest = decode(*(wire[at : at + 65_536] for at in range(0, len(wire), 65_536)))
    assert rest == b""
    assert len(decoder.parts()) > 1
    assert body(decoder) == line * 50_000


def test_the_head_is_the_header_section() -> None:
    assert decode(b"A: b\r\nC: d\r\n\r\nbody\r\n.\r\n")[0].head(1000) == b"A: b\r\nC: d\r\n"
    assert decode(b"A: b\r\n.\r\n")[0].head(1000) == b"A: b\r\n"
    assert decode(b"\r\nbody\r\n.\r\n")[0].head(1000) == b""
    assert decode(b".\r\n")[0].head(1000) == b""
    assert decode(b"A: b\r\n.\r\n")[0].head(3) == b"A: "


def reference(wire: bytes) -> tuple[bytes, bytes, bool] | None:
    """Say the same as the decoder by the shortest means, over the whole at once."""
    whole = b"\r\n" + wire
    content, end, rest = whole.partition(b"\r\n.\r\n")
    if not end:
        return None
    content += b"\r\n"
    smuggled = re.search(rb"[\r\n]\.[\r\n]", content) is not None
    message = re.sub(rb"(?<=\r\n)\.", b"", content)[2:]
    return re.sub(rb"\r\r\n|\r\n|\r|\n", b"\r\n", message), rest, smuggled


OCTETS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\r\n.\r\n"]), max_size=24).map(b"".join)


@given(OCTETS, st.lists(st.integers(1, 5), min_size=1, max_size=8))
@example(b"\r\r\n.\r\n", [1])
@example(b"\r\n..\r\n.\r\n", [3])
def test_the_result_does_not_depend_on_how_the_octets_were_cut(wire: bytes, steps: list[int]) -> None:
    pieces: list[bytes] = []
    at = 0
    while at < len(wire):
        step = steps[len(pieces) % len(steps)]
        pieces.append(wire[at : at + step])
        at += step
    decoder, rest = decode(*pieces)
    expected = reference(wire)
    if expected is None:
        assert rest is None
        return
    message, follows, smuggled = expected
    assert rest == follows
    assert (decoder.defect is Defect.SMUGGLING) == smuggled
    if not smuggled:
        assert body(decoder) == message
        assert decoder.size == len(message)
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", message)
