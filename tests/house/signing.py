"""Signing keys of a house's customer: made, published in the test's name server, taken into use."""

from __future__ import annotations

from tests.house.gatepost import House
from tests.house.names import Names


async def sign(house: House, names: Names, domain: str) -> None:
    """Let mail of the domain be signed with new keys, gp1 and gp1e."""
    made = await house.gatepost("dkim", "make-key", domain)
    assert made.code == 0, made
    for line in made.out.splitlines():
        if " IN TXT ( " in line:
            name, _, text = line.removesuffix(" )").partition(". IN TXT ( ")
            names.zone[name, "TXT"] = (text,)
    used = await house.gatepost("dkim", "use", domain, "gp1")
    assert used.code == 0, used
