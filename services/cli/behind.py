"""A command that has time goes on behind everything else on this machine: it runs while nothing else wants the cores.

nice(2) alone does not do that: where the kernel groups processes by session (sched_autogroup), a command in a terminal
of its own has as much of the cores as all services in theirs, however nice it is. So the command gets a session, and
that is nice as well. Standard library only, and before anything large is imported: an import is work like any other.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

from services.runtime.leash import PR_SET_PDEATHSIG

P = ParamSpec("P")

NICEST: Final = 19
HANDED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AWAITED: Final = (*HANDED_ON, signal.SIGCHLD)


def behind(function: Callable[P, None]) -> Callable[P, None]:
    """Run a command behind everything else, in a process of its own; this one hands signals on and waits for it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)  # they are waited for: one between two steps would be lost
        child = os.fork()
        if not child:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
            _stand_back(parent)
            function(*args, **kwargs)
            return
        ended, status = 0, 0
        while not ended:
            number = signal.sigwait(AWAITED)
            if number == signal.SIGCHLD:
                ended, status = os.waitpid(child, os.WNOHANG)
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
        code = os.waitstatus_to_exitcode(status)
        sys.exit(code if code >= 0 else 128 - code)

    return run


def _stand_back(parent: int) -> None:
    os.setsid()
    os.nice(NICEST)
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)  # it died before the leash was on
    with contextlib.suppress(OSError):  # a kernel without it groups nothing by session
        Path("/proc/self/autogroup").write_text(str(NICEST), "ascii")
    with contextlib.suppress(OSError):  # a sandbox may forbid it: then it is as nice as can be
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
