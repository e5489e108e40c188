"""Finds the scanners: every module of a package that has a SPEC and a scan. There is no list to keep."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import Final, cast

from services.core.errors import ConfigError
from services.scanners.contract import Scanner, Spec

CHECKS: Final = "services.scanners.checks"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def discover(package: str = CHECKS) -> dict[str, Scanner]:
    """Return the scanners of the package by name, sorted; raise ConfigError for a module that is none."""
    found: dict[str, Scanner] = {}
    path = importlib.import_module(package).__path__
    for module in sorted(pkgutil.iter_modules(path), key=lambda item: item.name):
        scanner = _load(f"{package}.{module.name}")
        name = scanner.SPEC.name
        if name in found:
            raise ConfigError(f"two scanners are called {name}: the second is {package}.{module.name}")
        found[name] = scanner
    return dict(sorted(found.items()))


def choose(names: tuple[str, ...], package: str = CHECKS) -> dict[str, Scanner]:
    """Return the named scanners, all when none is named; raise ConfigError for a name that is no scanner's."""
    found = discover(package)
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ConfigError(f"no scanner is called {unknown[0]}; there are {', '.join(found)}")
    return {name: found[name] for name in names} if names else found


def _load(name: str) -> Scanner:
    module = importlib.import_module(name)
    spec = getattr(module, "SPEC", None)
    if not isinstance(spec, Spec) or not inspect.iscoroutinefunction(getattr(module, "scan", None)):
        raise ConfigError(f"{name} is no scanner: it needs SPEC and async def scan(mail, ctx)")
    if _NAME.fullmatch(spec.name) is None or spec.timeout <= 0 or spec.max_size <= 0:
        raise ConfigError(f"{name} has a SPEC that can't be used: name [a-z0-9-], timeout and max_size above 0")
    return cast("Scanner", module)
