"""What the chart takes from the code: `python -m k8s write` makes it, `python -m k8s check` refuses what is stale."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from services.scanners.registry import discover

SCANNERS = Path(__file__).parent / "gatepost" / "files" / "scanners.yaml"
HEAD = "# One Deployment each. Written by `python -m k8s write` from the scanners' SPECs: change those.\n"


def scanners() -> str:
    """Return the YAML of what the chart must know of each scanner, by name."""
    known = {
        name: {"cost": found.SPEC.cost.value, "ports": sorted(port.value for port in found.SPEC.ports)}
        for name, found in discover().items()
    }
    return HEAD + yaml.safe_dump(known, sort_keys=True)


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 done, 1 stale, 2 for a word that means nothing."""
    match arguments:
        case ["write"]:
            SCANNERS.write_text(scanners())
            return 0
        case ["check"]:
            if SCANNERS.exists() and SCANNERS.read_text() == scanners():
                return 0
            sys.stderr.write(f"{SCANNERS.name} is stale: run python -m k8s write\n")
            return 1
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
