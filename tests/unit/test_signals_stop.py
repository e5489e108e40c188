"""A thread of Faust's that doesn't come to its end keeps nobody from going."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

from services.signals.transport import ConsumerThread, Worker


class Service:
    """Runs until it is let go, as one does that waits for the loop which waits for it."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def _start_thread(self) -> None:
        self.go.wait()


class Hasty(Worker):
    within = 0.05


def test_a_thread_that_waits_for_us_is_left_behind() -> None:
    service = Service()
    thread = Hasty(cast("Any", service))
    thread.start()
    began = time.monotonic()
    thread.stop()
    assert thread.is_alive()
    assert time.monotonic() - began < 5.0  # without the limit it never returns
    assert thread.daemon  # or the interpreter would wait for it
    service.go.set()
    thread.join(5.0)
    assert not thread.is_alive()


def test_the_consumers_thread_is_one() -> None:
    assert ConsumerThread.Worker is Worker
