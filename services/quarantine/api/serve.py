"""The API and the pages as a unit of a process: two servers, two origins."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping

import uvicorn
from fastapi import FastAPI

from services.core.errors import StartError
from services.core.senders import Senders
from services.quarantine.api.app import Parts, make_app
from services.quarantine.api.config import ApiConfig
from services.quarantine.api.pages import make_pages
from services.quarantine.index import Index
from services.quarantine.keyring import Keyring
from services.quarantine.master import MasterConfig
from services.quarantine.passes import pass_key
from services.quarantine.tokens import Tokens
from services.quarantine.vault import Vault
from services.runtime.config import load
from services.runtime.follow import follow_senders
from services.runtime.host import Context
from services.runtime.users_key import UsersKey


class Server(uvicorn.Server):
    """uvicorn without its own signals: whoever runs this process says when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(ctx: Context) -> None:
    """Answer until `ctx.stop`."""
    config = load(ApiConfig, ctx.environ)
    secrets = load(MasterConfig, ctx.environ).secrets()
    users = load(UsersKey, ctx.environ).master()
    index = await Index.open(config.database)
    lists, known = Senders(), asyncio.Event()
    following = asyncio.create_task(follow_senders(ctx.bus, lists, known), name="api-senders")
    try:
        keys = Keyring(index.database, ctx.store, secrets.wrapping, ctx.clock, os.urandom)
        parts = Parts(
            index=index,
            vault=Vault(ctx.store, keys, os.urandom),
            tokens=Tokens(index.database, ctx.clock),
            bus=ctx.bus,
            lists=lists,
            customer=ctx.directory.customer,
            clock=ctx.clock,
            failures=config.api_failures,
            passes=None if users is None else pass_key(users),
        )
        await ctx.directory_ready()
        with (
            listening(config.api_host, config.api_port) as api,
            listening(config.pages_host, config.pages_port) as pages,
        ):
            await _answer(ctx, {api: make_app(parts), pages: make_pages(parts, secrets.links)})
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await index.close()


async def _answer(ctx: Context, apps: Mapping[socket.socket, FastAPI]) -> None:
    servers = {listener: server_of(app) for listener, app in apps.items()}
    async with asyncio.TaskGroup() as tasks:
        for listener, server in servers.items():
            tasks.create_task(server.serve([listener]), name="api-server")
        ctx.ready("api")  # they listen already: who comes now waits a moment at most
        await ctx.stop.wait()
        for server in servers.values():
            server.should_exit = True


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there; raise StartError, one line, when that can't be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(256)
        except OSError as error:
            raise StartError(f"port {port} on {host} can't be used: {error.strerror or error}") from error
        yield listener


def server_of(app: FastAPI) -> Server:
    """Return the server of an application, with limits for what strangers send."""
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # a link is in the path, and who holds it may act
            server_header=False,
            date_header=True,
            proxy_headers=False,
            limit_concurrency=200,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=32_768,
            lifespan="off",
        )
    )
