"""The catalogue: complete in both languages, with the same gaps, and with every key that code and templates ask for."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from services.console.licence import State
from services.console.roles import Role
from services.console.texts import LANGUAGES, keys, raw, text

ROOM = Path(__file__).parents[2] / "services" / "console"
MADE = re.compile(
    r"(banner|licence\.state|role|language|done|problem|domain\.tls|outbound\.said|nav|mail\.wish|mail\.(user-)?(activate|reset|licence|lapse|purge|signup|proof)|users\.(kind|source)"
    r"|held\.(state|reported)|senders|listed\.list|status|treatment|unscanned|rule\.switch|settings\.day|held\.nav"
    r"|dashboard\.days|queue|quarantine|panel|reports?|sheet|sign-in\.users|dlp\.(number|then|count)|messages\.kind|figure|layer)\."
)


def gaps(said: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(said) if name)


@pytest.mark.parametrize("key", keys())
def test_each_text_is_there_in_each_language_with_the_same_gaps(key: str) -> None:
    said = [raw(key, language) for language in LANGUAGES]
    assert all(said)
    assert len({tuple(gaps(each)) for each in said}) == 1


def test_no_part_of_the_catalogue_hides_a_text_of_another() -> None:
    parts = [path.read_text() for path in ROOM.rglob("texts*.py")]
    written = [key for part in parts for key in re.findall(r'^    "([\w.-]+)": ', part, re.MULTILINE)]
    assert sorted(written) == sorted(keys())


def test_every_text_that_is_asked_for_is_there_and_none_is_left_over() -> None:
    sources = [*ROOM.rglob("*.py"), *ROOM.rglob("templates/*.html")]
    written = "\n".join(path.read_text() for path in sources if not path.name.startswith("texts"))
    asked = set(re.findall(r'\bt\("([\w.-]+)"[,)]', written)) | set(re.findall(r"\bt\('([\w.-]+)'[,)]", written))
    asked |= set(re.findall(r'(?:Refused|text)\("([\w.-]+)"', written))
    asked |= set(re.findall(r'"(rule\.[\w.-]+)"', (ROOM / "templates" / "rule.html").read_text()))
    asked |= set(re.findall(r'"(dlp\.[\w.-]+\w)"', (ROOM / "templates" / "data_rule.html").read_text()))
    asked |= set(re.findall(r'return "(password\.\w+)"', written))
    asked |= {f"done.{name}" for name in re.findall(r'go\([^\n]*, "([\w-]+)"\)', written)}
    asked |= {f"problem.{name}" for name in re.findall(r'_problem\([^\n]*?, "([\w-]+)", \d+\)', written)}
    assert asked - set(keys()) == set()
    assert {key for key in set(keys()) - asked if not MADE.match(key)} == set()


def test_what_is_put_together_from_values_is_there() -> None:
    for language in LANGUAGES:
        assert text("role.owner", language)
        for made in (
            *(f"role.{role.value}" for role in Role),
            *(f"licence.state.{state.value}" for state in State),
            *(f"banner.{state.value}" for state in State if state is not State.FULL),
        ):
            assert raw(made, language)
