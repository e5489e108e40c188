"""`python -m services.console.spec` writes the API's description into the docs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

from services.console.api import make_api
from services.console.book import Book
from services.console.config import ConsoleConfig
from services.console.desk import make_desk
from services.console.directories import Ports
from services.console.domains import Surroundings
from services.console.queues import QueueView
from services.console.signin import SignIn
from services.core.clock import SystemClock
from services.core.directory import Directory
from services.runtime.database import Database
from services.runtime.dns import Resolver
from services.trace.index import Index

PATH = Path(__file__).parents[2] / "docs" / "console-openapi.json"


def spec() -> dict[str, Any]:
    """Return the OpenAPI description; what the API is made of has no part in it."""
    clock = SystemClock()
    around = Surroundings(
        config=ConsoleConfig(), hostname="", directory=Directory(), resolver=lambda: Resolver("", clock)
    )
    nothing = cast("Any", None)
    book = Book(cast("Database", nothing), clock)
    desk = make_desk(
        book, cast("SignIn", nothing), around, cast("Index", nothing), None, cast("Ports", nothing), waiting=QueueView()
    )
    app = make_api(desk, clock)
    app.servers = [{"url": "/api/v1"}]
    return app.openapi()


if __name__ == "__main__":
    PATH.write_text(json.dumps(spec(), indent=1) + "\n")
    sys.exit(0)
