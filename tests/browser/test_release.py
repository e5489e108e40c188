"""A user finds what is held, looks at it, and lets it come."""

from __future__ import annotations

import pytest

from tests.house.sender import GTUBE, plain
from tests.house.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")
CAROL, DAVE = "carol@hooli.test", "dave@hooli.test"


async def test_a_release_arrives_at_the_mta(town: Town) -> None:
    owner = await town.customer("hooli")
    wanted = plain("lottery news", f"{GTUBE}\r\n")
    await town.send(wanted, CAROL)
    await town.send(plain("for dave", f"{GTUBE}\r\n"), DAVE)
    async with town.at_console() as ann, town.at_users() as carol:
        await ann.log_in(owner)
        await carol.choose_password(await town.user(ann, "hooli", CAROL, "Carol"), address=CAROL)
        shown = await carol.comes("lottery news", "held")
        assert "for dave" not in shown
        await carol.press("lottery news")
        await carol.see("What it says", "It is scanned for viruses once more")
        assert not town.arrivals("lottery news")
        await carol.press("Deliver")
        await carol.see("On its way to you.")
        arrival = await town.arrival("lottery news")
        assert arrival.recipients == (CAROL,)
        assert arrival.content.endswith(wanted)
        await carol.open("/?everything=yes")
        await carol.comes("lottery news", "delivered")
        assert not town.arrivals("for dave")
        await ann.press("Messages")
        await ann.fill("Subject holds", "lottery")
        await ann.press("Search")
        await ann.comes("lottery news", "delivered")
