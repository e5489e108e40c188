"""Whom a customer's deceivers would pretend to be, as an operator writes it:

protect:
  persons:
    - {name: Erika Mustermann, addresses: [erika@home.example]}
    - Max Mustermann
  partners: [bank.example]
  brands:
    - {name: Globex, domains: [globex.example]}
  allowed: [acrne.example]
"""

from __future__ import annotations

from typing import Final

from schemas.events import Brand, Person, Protect
from services.core.address import parse, parse_domain
from services.core.errors import BadAddress
from services.core.tree import Place, Scalar, quoted

PERSONS_MOST: Final = 1_000  # each scan brings them along, and each display name is compared with all of them
DOMAINS_MOST: Final = 1_000  # partners, domains of brands, allowed ones: of one list
ADDRESSES_MOST: Final = 20  # of one person
BRANDS_MOST: Final = 200
NAME_LIMIT: Final = 100  # characters
_NAME_LEAST: Final = 2  # words of a person's name: one alone is many people's
_BRAND_LEAST: Final = 4  # letters: shorter ones are parts of honest names


def parse_protect(place: Place) -> Protect:
    """Return whom the customer wants protected; raise ConfigError for the first mistake."""
    fields = place.fields("persons", "partners", "brands", "allowed")
    return Protect(
        persons=_persons(fields["persons"]) if "persons" in fields else (),
        partners=_domains(fields["partners"]) if "partners" in fields else (),
        brands=_brands(fields["brands"]) if "brands" in fields else (),
        allowed=_domains(fields["allowed"]) if "allowed" in fields else (),
    )


def _persons(place: Place) -> tuple[Person, ...]:
    found: dict[str, Person] = {}
    for each in _bounded(place, PERSONS_MOST, "persons"):
        fields = (
            {"name": each} if isinstance(each.node, Scalar) else each.fields("name", "addresses", required=["name"])
        )
        name = " ".join(fields["name"].text(NAME_LIMIT).split())
        if len(name.split(" ")) < _NAME_LEAST:
            raise fields["name"].wrong(f"{quoted(name)} is one word, and the name of many: write it in full")
        if name.casefold() in found:
            raise fields["name"].wrong(f"{quoted(name)} is listed twice")
        listed = _bounded(fields["addresses"], ADDRESSES_MOST, "addresses") if "addresses" in fields else []
        found[name.casefold()] = Person(name=name, addresses=tuple(dict.fromkeys(_address(one) for one in listed)))
    return tuple(found.values())


def _brands(place: Place) -> tuple[Brand, ...]:
    found: dict[str, Brand] = {}
    for each in _bounded(place, BRANDS_MOST, "brands"):
        fields = each.fields("name", "domains", required=["name", "domains"])
        name = fields["name"].text(NAME_LIMIT)
        if sum(char.isalnum() for char in name) < _BRAND_LEAST:
            raise fields["name"].wrong(f"{quoted(name)} is too short: honest names hold it by chance")
        if name.casefold() in found:
            raise fields["name"].wrong(f"{quoted(name)} is listed twice")
        domains = _domains(fields["domains"])
        if not domains:
            raise fields["domains"].wrong("a brand has one domain at least: that may use its name")
        found[name.casefold()] = Brand(name=name, domains=domains)
    return tuple(found.values())


def _domains(place: Place) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_domain(each) for each in _bounded(place, DOMAINS_MOST, "domains")))


def _domain(place: Place) -> str:
    text = place.text()
    try:
        name = parse_domain(text)
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)}: {error}") from error
    if "." not in name:
        raise place.wrong(f"{quoted(text)} is not a full domain name, such as bank.example")
    return name


def _address(place: Place) -> str:
    text = place.text()
    try:
        return parse(text).canonical
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is not an address: {error}") from error


def _bounded(place: Place, most: int, what: str) -> list[Place]:
    members = place.members(f"a list of {what}")
    if len(members) > most:
        raise place.wrong(f"{len(members)} {what}, and {most} is the most")
    return members
