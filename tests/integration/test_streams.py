"""A connection that has ended is that on uvloop too, for whoever writes to it."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
import uvloop

from services.runtime.streams import send


def test_who_writes_to_a_connection_that_was_reset_is_told_so() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def main() -> None:
        async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            send(writer, b"x")
            await asyncio.sleep(0.2)
            with pytest.raises(ConnectionResetError):
                send(writer, b"y")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
