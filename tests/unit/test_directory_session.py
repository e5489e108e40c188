"""A hostile LDAP server: whatever it sends ends as one of our failures, in time, and never as a smaller directory."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
import sansldap
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import DirectoryRefused, DirectoryUnavailable
from services.directory.session import MESSAGE_MOST, Session
from services.directory.wire import Wire

ANY = sansldap.FilterPresent("objectClass")


def answers(code: sansldap.LDAPResultCode = sansldap.LDAPResultCode.SUCCESS) -> bytes:
    """Return what a server says to a first search: two entries and an end."""
    client, server = sansldap.LDAPClient(), sansldap.LDAPServer()
    client.search_request("dc=acme", filter=ANY)
    (request,) = server.receive(client.data_to_send())
    for name in ("anna", "ben"):
        values = [sansldap.PartialAttribute("mail", [f"{name}@acme.test".encode()])]
        server.search_result_entry(request.message_id, f"uid={name}", values)
    server.search_result_done(request.message_id, result_code=code, diagnostics_message="uid=anna is secret")
    return server.data_to_send()


async def search(data: bytes, *, ends: bool = True) -> list[str]:
    """Return the names of the entries that a search finds when the server sends this."""
    wire = Wire()
    session = Session(wire, 5.0)
    wire.data_received(data)
    if ends:
        wire.connection_lost(None)
    return [found.object_name async for found in session.search("dc=acme", ANY, ("mail",), 0)]


async def test_what_is_whole_is_read() -> None:
    assert await search(answers()) == ["uid=anna", "uid=ben"]


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (sansldap.LDAPResultCode.SIZE_LIMIT_EXCEEDED, DirectoryRefused),
        (sansldap.LDAPResultCode.TIME_LIMIT_EXCEEDED, DirectoryRefused),
        (sansldap.LDAPResultCode.REFERRAL, DirectoryRefused),
        (sansldap.LDAPResultCode.BUSY, DirectoryUnavailable),
        (sansldap.LDAPResultCode.OPERATIONS_ERROR, DirectoryRefused),
    ],
)
async def test_an_end_without_success_is_a_failure_and_its_text_stays_out(
    code: sansldap.LDAPResultCode, failure: type[Exception]
) -> None:
    with pytest.raises(failure) as caught:
        await search(answers(code))
    assert "anna" not in str(caught.value)


@given(st.integers(0, len(answers()) - 1))
@settings(max_examples=60, deadline=None)
def test_an_answer_that_is_cut_anywhere_is_a_failure(length: int) -> None:
    with pytest.raises(DirectoryUnavailable):
        asyncio.run(search(answers()[:length]))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_an_answer_that_was_tampered_with_is_read_or_a_failure_of_ours(data: st.DataObject) -> None:
    octets = bytearray(answers())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DirectoryUnavailable, DirectoryRefused):
        asyncio.run(search(bytes(octets)))


async def test_an_integer_of_no_octets_is_a_failure_of_ours() -> None:
    with pytest.raises(DirectoryUnavailable):
        await search(b"\x30\x02\x02\x00", ends=False)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_noise_is_a_failure_of_ours(noise: bytes) -> None:
    with pytest.raises((DirectoryUnavailable, DirectoryRefused)):
        asyncio.run(search(noise))


async def test_a_message_without_end_is_refused() -> None:
    with pytest.raises(DirectoryRefused, match="a message over"):
        await search(b"\x30\x84\x7f\xff\xff\xff" + bytes(MESSAGE_MOST), ends=False)


async def test_plain_text_after_the_agreement_to_tls_is_refused() -> None:
    client, server = sansldap.LDAPClient(), sansldap.LDAPServer()
    client.extended_request(sansldap.ExtendedOperations.LDAP_START_TLS.value)
    (request,) = server.receive(client.data_to_send())
    server.extended_response(request.message_id)
    agreed = server.data_to_send()
    for injected in (b"\x30", answers()):
        wire = Wire()
        wire.data_received(agreed + injected)
        await Session(wire, 5.0).request_tls()
        with pytest.raises(DirectoryRefused, match="plain text after it agreed"):
            await wire.start_tls(ssl.create_default_context(), "localhost")


async def test_an_empty_password_is_never_sent() -> None:
    with pytest.raises(DirectoryRefused):
        await Session(Wire(), 5.0).bind("cn=reader", "")


async def test_a_silent_server_is_given_up() -> None:
    with pytest.raises(DirectoryUnavailable, match="no answer within"):
        await Session(Wire(), 0.05).root(("supportedControl",))
