"""A rule that is made in the browser, tried on what came before, and works on the next message."""

from __future__ import annotations

import pytest

from tests.house.sender import plain
from tests.house.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")
ADS = "deals@ads.test"


async def test_a_rule_is_tried_and_works_on_the_next_message(town: Town) -> None:
    owner = await town.customer("globex")
    await town.send(plain("minutes"), "bob@globex.test")
    await town.send(plain("deals one"), "bob@globex.test", sender=ADS)
    await town.arrival("deals one")
    await town.arrival("minutes")

    async with town.at_console() as ann:
        await ann.log_in(owner)
        await ann.press("Messages")
        await ann.comes("minutes", "deals one", "delivered")
        await ann.press("Policies")
        await ann.press("New rule")
        await ann.fill("Name", "no advertising")
        await ann.fill("Senders", "@ads.test")
        await ann.choose("The message is", "hold in quarantine")
        await ann.press("Try on the last 7 days")
        shown = await ann.see("What this would have done", "2 messages looked at", "1 would be treated otherwise")
        changes = shown[shown.index("Examples") :]
        assert "deals one" in changes
        assert "minutes" not in changes
        assert "hold in quarantine (no advertising" in changes

        await town.send(plain("deals two"), "bob@globex.test", sender=ADS)
        await town.arrival("deals two")  # nothing was saved

        await ann.press("Save")
        await ann.see("Saved; it counts within seconds.", "no advertising")
        await ann.press("Quarantine")
        await ann.see("Nothing is held that fits.")
        number = 3
        while True:  # the rule is on its way to policy for a moment
            subject = f"deals {number}"
            await town.send(plain(subject), "bob@globex.test", sender=ADS)
            await town.send(plain(f"after {subject}"), "bob@globex.test")
            await town.arrival(f"after {subject}")
            if not town.arrivals(subject):
                break
            number += 1
            assert number < 20
        await ann.comes(subject, f"from {ADS}")
        assert not town.arrivals(subject)
        await ann.press("Policies")
        await ann.see("from @ads.test", "hold in quarantine")
        await ann.press("Audit log")
        await ann.see("policy-changed")
