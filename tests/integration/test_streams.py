"""A connection that has ended is that on uvloop too, whatever is written to it, and by whom."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from services.runtime import kafka_security
from services.runtime.streams import send

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


def on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@asynccontextmanager
async def resetting() -> AsyncIterator[int]:
    """Yield the port of a server that resets each connection once it has heard something."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_who_writes_to_a_connection_that_was_reset_is_told_so() -> None:
    async def main() -> None:
        async with resetting() as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            send(writer, b"x")
            await asyncio.sleep(0.2)
            with pytest.raises(ConnectionResetError):
                send(writer, b"y")

    on_uvloop(main())


def test_so_is_aiokafka_before_its_reader_has_heard_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: AIOKafkaConnection) -> None:
        pass

    assert kafka_security.client_settings({}) == {}  # who makes a client has come by here, and so by the mend
    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", nothing)

    async def main() -> None:
        async with resetting() as port:
            connection = AIOKafkaConnection("127.0.0.1", port)
            _, writer = await connection.connect()
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def ask() -> None:
                try:
                    connection.send(ApiVersionRequest())
                except Exception as error:  # noqa: BLE001 - looked at below
                    told.set_exception(error)

            writer.transport.abort()
            asyncio.get_running_loop().call_soon(ask)  # after the transport has closed, before the reader's turn
            with pytest.raises(KafkaConnectionError):
                await told
            assert not connection.connected()

    on_uvloop(main())
