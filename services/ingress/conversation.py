"""The course of one SMTP connection: aiosmtpd's protocol, with a guard wherever it would lose mail or be abused.

What is aiosmtpd's: the protocol class with its life on a transport, its session and its one timer, which is here the
deadline of the whole session. What is ours: the conversation. aiosmtpd's own ends a command at a bare LF, reads a
message line by line, answers an exception with its text, and starts its timer anew at each NOOP.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import logging
import ssl
from collections import defaultdict
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from services.core import replies
from services.core.replies import Reply
from services.core.waiting import happens
from services.ingress import decide, proxy
from services.ingress.front import Front
from services.ingress.inlet import Inlet, Interrupted, LineTooLong
from services.ingress.visitor import Visitor
from services.runtime.streams import send

log = logging.getLogger("gatepost.ingress")

_OUT_LIMIT: Final = 8_192  # octets of replies that wait for one write
_PATIENCE: Final = 32  # commands in a row before others get their turn
_FOR_GOOD: Final = 500  # and above: RFC 5321 section 4.2.1
_LINGER: Final = 5.0  # seconds to take our last words
_OUTLAST: Final = 2.0  # seconds to stop talking once we have said them


class Conversation(SMTP):
    """Reads lines and says replies until either side has enough; what a line means is `Connection`'s part."""

    def __init__(self, front: Front) -> None:
        config = front.config
        self.command_size_limits = defaultdict(lambda: config.max_command)  # aiosmtpd shares one among all connections
        super().__init__(
            None,
            data_size_limit=config.max_size,
            enable_SMTPUTF8=True,
            hostname=config.hostname,
            timeout=config.session_timeout,
            loop=asyncio.get_running_loop(),
        )
        self._front = front
        self._config = config
        self._client = decide.Client("")
        self._out = bytearray()
        self._ending: Reply | None = None
        self._dismissal: Reply | None = None  # what ends the connection after its transaction
        self._inlet = Inlet(self._pause_reading, self._resume_reading)
        self._visitor: Visitor
        self._spoke = asyncio.Event()
        self._header: bytearray | None = None  # of the PROXY protocol, as far as it has come
        self._due: asyncio.TimerHandle | None = None
        self.sealed = False  # TLS comes first, and nothing is read or said before it (RFC 8314 section 3.3)
        self._hello = bytearray()  # of a sealed connection, what came behind a PROXY header
        self._idle_since: float | None = None  # by the loop's clock

    def __dir__(self) -> list[str]:
        """Return no names: for each connection aiosmtpd would look through all of them for commands that are not used
        here, and that costs a fifth of a message's CPU time."""
        return []

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or send it away with one line; from a balancer, hear first whose connection it is."""
        ip, port = _peer(transport)
        self._client = decide.Client(ip, port, connected_at=self._front.now())
        if ip in self._front.guards.proxies:
            self.transport = transport
            self._header = bytearray()
            self._front.expect(self)
            self._due = asyncio.get_running_loop().call_later(self._config.proxy_timeout, self._no_header, "time is up")
            return
        self._enter(transport)

    def _enter(self, transport: asyncio.BaseTransport) -> None:
        answer = self._front.enter(self, self._client)
        if isinstance(answer, decide.Refusal):
            self._hold(transport, answer.reply)
            return
        self._visitor = answer
        if self.sealed:  # what is read before TLS has begun would be lost to it
            cast("asyncio.Transport", transport).pause_reading()
        super().connection_made(transport)

    def _hold(self, transport: asyncio.BaseTransport, reply: Reply) -> None:
        """Keep who comes too often waiting for its answer, or it would be back at once."""
        if reply.code < _FOR_GOOD and self._config.tarpit and self._front.holds():
            self.transport = transport
            self._front.expect(self)
            self._due = asyncio.get_running_loop().call_later(self._config.tarpit, self._turn_away, transport, reply)
        else:
            self._turn_away(transport, reply)

    def _turn_away(self, transport: asyncio.BaseTransport, reply: Reply) -> None:
        stream = cast("asyncio.Transport", transport)
        if not self.sealed:
            stream.write(f"{reply}\r\n".encode())
        stream.close()

    def data_received(self, data: bytes) -> None:
        """Keep what came until the conversation asks for it."""
        if self._header is not None:
            self._header += data
            self._read_header(self._header)
            return
        if self.sealed:
            self._hello += data
            return
        self._spoke.set()
        self._inlet.feed(data)

    def _read_header(self, data: bytearray) -> None:
        """Take the client's address from the balancer, and let it in with what it has said since."""
        try:
            header = proxy.parse(bytes(data))
        except proxy.BadProxy as error:
            self._no_header(str(error))
            return
        if header is None or self.transport is None or self._due is None:
            return
        self._due.cancel()
        self._header = None
        if header.ip:
            self._client = dataclasses.replace(self._client, ip=header.ip, port=header.port)
        transport, self.transport = self.transport, None
        self._enter(transport)
        if self.session is not None and len(data) > header.octets:
            self.data_received(bytes(data[header.octets :]))

    def _no_header(self, reason: str) -> None:
        """Send away who comes from a balancer and doesn't say whose connection it is."""
        log.warning("no proxy header client=%s reason=%s", self._client.ip, reason)
        if self._due is not None:
            self._due.cancel()
        self._front.leave(self)
        self._front.refused(decide.Refusal(replies.PROXY_REFUSED, "bad-proxy"), self._client)
        if self.transport is not None:
            self._turn_away(self.transport, replies.PROXY_REFUSED)

    def eof_received(self) -> bool | None:
        """Let a client that has said all it wants still hear the answers; TLS can't be closed by half."""
        self._spoke.set()
        self._inlet.feed_eof()
        return self.session is not None and self._client.tls is None

    def connection_lost(self, error: Exception | None) -> None:
        """End the conversation. A message that is being stored and published goes its way without it."""
        if self.session is None:  # never let in
            if self._due is not None:
                self._due.cancel()
            self._front.leave(self)
            return
        self._front.leave(self)
        self._inlet.feed_eof()
        super().connection_lost(error)

    def _timeout_cb(self) -> None:
        self.end(replies.SESSION_OVER)

    def _pause_reading(self) -> None:
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).pause_reading()

    def _resume_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            cast("asyncio.Transport", self.transport).resume_reading()

    # --- the front's side

    def end(self, reply: Reply) -> None:
        """See `front.Guest`."""
        self._ending = self._ending or reply
        self._spoke.set()
        self._inlet.interrupt()

    def dismiss(self, reply: Reply) -> None:
        """See `front.Guest`."""
        if self._in_transaction():
            self._dismissal = reply
        else:
            self.end(reply)

    def abort(self) -> None:
        """See `front.Guest`."""
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()

    def idle(self) -> float:
        """See `front.Guest`."""
        return 0.0 if self._idle_since is None else asyncio.get_running_loop().time() - self._idle_since

    # --- the conversation

    async def _handle_client(self) -> None:
        try:
            if self.sealed:
                await self._upgrade(self._tls())
            if await self._in_turn():
                self._say(replies.greeting(self._config.hostname))
            await self._converse()
        except ConnectionError:
            log.info("connection lost client=%s", self._client.ip)
        except Exception as error:  # noqa: BLE001  # the boundary: whatever broke, the client hears one generic line
            self._say_raw(await self.handle_exception(error))
        finally:
            await self._hang_up()

    async def _in_turn(self) -> bool:
        """Let a client that isn't known wait for its greeting; return whether it did."""
        pause = self._visitor.pause
        if not pause:
            return True
        spoke = await happens(self._spoke, pause)
        if self._ending is not None:
            return False
        if not spoke:
            self._visitor.waited()
        elif self._inlet.waiting():
            self._out_of_turn("early-talker")
            return False
        return True

    def _out_of_turn(self, reason: str) -> None:
        refusal = self._visitor.spoke_early(reason)
        self._front.refused(refusal, self._client)
        self._finish(refusal.reply)

    async def handle_exception(self, error: Exception) -> str:
        """Return the line for a failure of ours, which is temporary for the client; the log has the rest."""
        log.error("connection failed client=%s", self._client.ip, exc_info=error)
        return str(replies.TRY_LATER)

    async def _converse(self) -> None:
        since_turn = 0
        while self._ending is None:
            try:
                line = self._inlet.ready_line(self._config.max_command)
                if line is None or since_turn >= _PATIENCE or len(self._out) > _OUT_LIMIT:
                    since_turn = 0
                    line = await self._wait_for_line(line)
                since_turn += 1
            except LineTooLong:
                self._mistake(replies.LINE_TOO_LONG)
                continue
            except Interrupted:
                break
            except TimeoutError:
                self._say(replies.TOO_SLOW)
                return
            if line is None:
                return
            await self._execute(line)
            if self._dismissal is not None and not self._in_transaction():
                self.end(self._dismissal)
        if self._ending is not None:
            self._say(self._ending)

    async def _wait_for_line(self, line: bytes | None) -> bytes | None:
        """Return the line after the others had their turn, or the next one when there is none yet."""
        async with asyncio.timeout(self._config.command_timeout):
            await self._flush()
            if line is None:
                self._idle_since = asyncio.get_running_loop().time()
                try:
                    return await self._inlet.line(self._config.max_command)
                finally:
                    self._idle_since = None
            await asyncio.sleep(0)
            return line

    async def _execute(self, line: bytes) -> None:
        """Do what the line says, and answer; the line has its LF, and may lack the CR before it."""
        raise NotImplementedError

    def _mistake(self, reply: Reply) -> None:
        """Say no to what is no command, and count it."""
        raise NotImplementedError

    def _reset(self) -> None:
        """Forget the transaction."""
        raise NotImplementedError

    def _in_transaction(self) -> bool:
        """Return whether one has begun (MAIL was taken) and has had no answer yet."""
        raise NotImplementedError

    def _say(self, reply: Reply) -> None:
        self._say_raw(str(reply))

    def _say_raw(self, text: str) -> None:
        self._out += text.encode() + b"\r\n"

    def _finish(self, reply: Reply) -> None:
        """Make the reply the last line of the connection."""
        self._ending = reply

    async def _flush(self) -> None:
        if self._out:
            send(self._writer, bytes(self._out))
            self._out.clear()
            await self._writer.drain()

    async def _hang_up(self) -> None:
        """Close, and leave the client a moment to take what was said last."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        try:
            async with asyncio.timeout(_LINGER):
                await self._flush()
                if self._ending is not replies.BYE:
                    await self._outlast()
                self._writer.close()
                await self._writer.wait_closed()
        except OSError:  # also a client that takes nothing: TimeoutError
            self.abort()
        finally:
            self._front.leave(self)

    async def _outlast(self) -> None:
        """Let the client end what it is saying: a close before that is a reset, which takes our last line with it."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OUTLAST):
                while await self._inlet.chunk():
                    pass

    def _tls(self) -> ssl.SSLContext | None:
        """Return what TLS begins with now, None where there is none."""
        return self._front.tls

    async def _upgrade(self, context: ssl.SSLContext | None) -> None:
        """Begin TLS and forget what was said before it (RFC 3207 section 4.2), also what was sent but not yet read."""
        if context is None:
            raise ConnectionAbortedError("no TLS")
        self.sealed = False
        try:
            async with asyncio.timeout(self._config.command_timeout):
                await self._flush()
            if dropped := self._inlet.discard():
                log.warning("plaintext after STARTTLS dropped client=%s octets=%d", self._client.ip, dropped)
            await self._handshake(context)
        except OSError as error:  # also ssl.SSLError and TimeoutError
            if isinstance(error, ssl.SSLCertVerificationError):
                self._visitor.showed_unknown()
            log.info("no tls client=%s error=%s", self._client.ip, type(error).__name__)
            raise ConnectionAbortedError("TLS handshake") from error
        self.transport = self._writer.transport
        engine: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        cipher = engine.cipher()
        tls = f"{engine.version()} {cipher[0] if cipher else ''}"
        self._client = dataclasses.replace(self._client, helo="", esmtp=False, tls=tls)
        self._visitor.showed(engine)
        self._reset()

    async def _handshake(self, context: ssl.SSLContext) -> None:
        begun = self._writer.start_tls(context, ssl_handshake_timeout=self._config.handshake_timeout)
        if not self._hello:
            await begun
            return
        # The client's first words came in one piece with the balancer's header: TLS gets them as if they came now.
        task = asyncio.ensure_future(begun)
        try:
            await asyncio.sleep(0)
            below = cast("asyncio.BufferedProtocol", cast("asyncio.Transport", self.transport).get_protocol())
            asyncio.get_running_loop().call_soon(_hand_over, below, bytes(self._hello))
            self._hello.clear()
            await task
        finally:
            task.cancel()


def _hand_over(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Feed the octets to a protocol as a transport would."""
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        size = min(len(room), len(data))
        room[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def _peer(transport: asyncio.BaseTransport) -> tuple[str, int]:
    """Return the client's address, an IPv4 one in its own form also on an IPv6 socket, and its port."""
    peername = transport.get_extra_info("peername")
    if not peername:  # it was gone before it was here
        return "unknown", 0
    address = ipaddress.ip_address(peername[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), peername[1]
