"""Run a command that ends with its parent: `python leash.py PARENT_PID COMMAND ARGUMENT...` becomes the command.

When the parent dies, even by SIGKILL, the kernel sends SIGTERM here (Linux). SIGINT and SIGHUP, which a terminal sends
to everyone, are ignored: the parent hears them and decides in which order its children stop. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; survives exec, and means the death of the thread that forked


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)  # the parent died before the leash was on
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.execv(command[0], command)  # noqa: S606 - no shell by design: the command is ours


if __name__ == "__main__":
    main()
