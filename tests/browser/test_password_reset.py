"""A user's password: chosen from the mail of the activation, forgotten, reset by an administrator, chosen anew."""

from __future__ import annotations

import pytest

from tests.house.person import PASSWORD
from tests.house.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")
BOB = "bob@initech.test"
ANEW = "a staple battery and a horse"


async def test_a_reset_is_read_from_the_mail_and_used(town: Town) -> None:
    owner = await town.customer("initech")
    async with town.at_console() as ann, town.at_users() as bob:
        await ann.log_in(owner)
        await bob.choose_password(await town.user(ann, "initech", BOB, "Bob"), address=BOB)
        await bob.see("Your password is set.", f"Signed in as {BOB}", "Nothing is held for you.")
        await bob.press("Log out")

        await ann.press("Users")
        await ann.press("Passwords")
        await ann.press(f"Reset the password of {BOB}")
        await ann.see("The link is on its way.")
        link = await town.link(BOB, "A new password")

        await bob.open(link)
        await bob.fill("E-mail address", "eve@initech.test")  # the link alone is not enough
        await bob.fill("Password", ANEW)
        await bob.fill("The same again", ANEW)
        await bob.press("Save")
        assert "Signed in" not in await bob.text()
        await bob.choose_password(link, ANEW, BOB)
        await bob.see("Your password is set.", f"Signed in as {BOB}")
        await bob.press("Log out")
        await bob.log_in(BOB, PASSWORD)
        await bob.see("Address or password is wrong.")
        await bob.log_in(BOB, ANEW)
        await bob.see(f"Signed in as {BOB}")
        await bob.press("Log out")
        await bob.open(link)
        await bob.see("This link is not valid")
