"""`python -m schemas check | write | publish`. Exit code 1, and a line for each problem, when something is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

from schemas.check import check
from schemas.generate import ROOT, publish, write

USAGE = """usage: python -m schemas check|write|publish
  check    say what is wrong with topics, schemas and examples
  write    bring the generated schemas up to date, and list new examples
  publish  make the current schemas the ones that may no longer change (part of a release)
"""


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Return the exit code: 0 fine, 1 problems, 2 wrong usage."""
    match arguments:
        case ["check"]:
            problems = check(root)
            sys.stdout.writelines(f"{problem}\n" for problem in problems)
            return 1 if problems else 0
        case ["write"]:
            sys.stdout.writelines(f"{line}\n" for line in write(root))
            return 0
        case ["publish"]:
            done, refused = publish(root)
            sys.stdout.writelines(f"{line}\n" for line in refused or done)
            return 1 if refused else 0
    sys.stderr.write(USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
