"""A steady sender: it notes which messages got a 250, and what it heard when one did not."""

from __future__ import annotations

import collections
import secrets
import smtplib
import threading
import time

MESSAGE = """From: Load <load@sender.test>\r
To: bob@example.test\r
Subject: message {mark}\r
Date: Wed, 25 Nov 2026 10:00:00 +0000\r
Message-ID: <{mark}@sender.test>\r
X-Load: {mark}\r
\r
Minutes of the meeting, number {mark}.\r
"""


class Load:
    """Threads that send, one message a session, until `stop`."""

    def __init__(self, host: str, port: int, rate: float, threads: int = 4, name: str = "load") -> None:
        self.accepted: list[str] = []
        self.heard: collections.Counter[str] = collections.Counter()
        self._where, self._name = (host, port), f"{name}-{secrets.token_hex(3)}"  # marks of one run alone
        self._pause = threads / rate
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        sent = 0
        while not self._stop.is_set():
            began = time.monotonic()
            mark = f"{self._name}-{number}-{sent}"
            sent += 1
            try:
                with smtplib.SMTP(*self._where, timeout=30) as client:
                    client.sendmail("load@sender.test", ["bob@example.test"], MESSAGE.format(mark=mark))
                self.accepted.append(mark)
            except smtplib.SMTPResponseException as error:
                self.heard[str(error.smtp_code)] += 1
            except smtplib.SMTPRecipientsRefused as error:
                self.heard[str(next(iter(error.recipients.values()))[0])] += 1
            except (OSError, smtplib.SMTPException) as error:
                self.heard[type(error).__name__] += 1
            self._stop.wait(max(0.0, self._pause - (time.monotonic() - began)))
