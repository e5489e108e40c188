"""Real parts that a test needs and that this machine may lack."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """Skip the test with the reason; with CI=true fail it, so that nothing goes untested unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def named(variable: str, what: str) -> str:
    """Return what the environment variable names."""
    return os.environ.get(variable) or lacking(f"{variable} names no {what}")


def program(name: str) -> str:
    """Return the path of a program."""
    return shutil.which(name) or lacking(f"no {name} on the path")
