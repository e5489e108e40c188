"""Somebody before a browser: reads what is shown, and types and clicks by what is written there."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.eventually import eventually
from tests.house.chromium import Chromium
from tests.house.person import PASSWORD

WITHIN: Final = 60.0  # seconds for what must come
# What a screen reader would call it; only what can be seen counts.
_FIND: Final = """
(() => {
  const words = (text) => text.replace(/\\s+/g, " ").trim();
  const seen = (element) => element.getClientRects().length > 0;
  const named = (element) => words(element.getAttribute("aria-label") || element.innerText);
  const wanted = %s;
  const field = (label) => label.control || document.getElementById(label.htmlFor);
  const found = wanted.label === undefined
    ? [...document.querySelectorAll("a[href], button, summary")]
        .find((each) => seen(each) && named(each) === wanted.name)
    : [...document.querySelectorAll("label")].filter((each) => words(each.innerText) === wanted.label).map(field)
        .concat([...document.querySelectorAll("input[aria-label]")].filter((each) => named(each) === wanted.label))
        .find((each) => each && seen(each));
  if (!found) return null;
  found.scrollIntoView({block: "center", behavior: "instant"});
  window.found = found;
  const box = found.getClientRects()[0];
  const x = box.x + Math.min(box.width / 2, 20), y = box.y + box.height / 2;
  const on = document.elementFromPoint(x, y);
  return {x, y, free: on !== null && (found === on || found.contains(on) || on.contains(found))};
})()
"""


class Visitor:
    """Types with the keyboard and clicks with the mouse. Whatever is asked for and isn't there ends the test."""

    def __init__(self, tab: Chromium, base: str) -> None:
        self.tab = tab
        self.base = base

    async def open(self, address: str) -> None:
        """Open a path of the site, or the whole address of a link; it may lead elsewhere."""
        await self.tab.run("window.here = true")
        await self.tab.tell("Page.navigate", url=address if address.startswith("http") else self.base + address)
        await self.tab.until("window.here !== true && document.readyState == 'complete'")

    async def text(self) -> str:
        """Return what is to be read on the page."""
        return str(await self.tab.run("document.body.innerText"))

    async def path(self) -> str:
        return str(await self.tab.run("location.pathname"))

    async def see(self, *words: str) -> str:
        """Make sure that the page says all of this; return its text."""
        shown = await self.text()
        for each in words:
            assert each in shown, f"{each!r} is not on {await self.path()}:\n{shown}"
        return shown

    async def comes(self, *words: str, within: float = WITHIN) -> str:
        """Load the page again until it says all of this; return its text."""

        async def shown() -> bool:
            await self.tab.reload()
            text = await self.text()
            return all(each in text for each in words)

        try:
            await eventually(shown, within=within, every=0.2)
        except AssertionError:
            await self.see(*words)
        return await self.see(*words)

    async def fill(self, label: str, words: str) -> None:
        """Type into a field, instead of what stands there."""
        await self._click(label=label)
        await self.tab.run("window.found.select()")
        await self.tab.tell("Input.insertText", text=words)
        assert await self.tab.run("window.found.value") == words, label

    async def choose(self, label: str, option: str) -> None:
        """Choose from a list by what its entry says."""
        await self._find(label=label)
        chosen = await self.tab.run(
            f"(() => {{ const at = [...found.options].findIndex((each) => each.text.trim() === {json.dumps(option)});"
            " found.selectedIndex = at; found.dispatchEvent(new Event('change', {bubbles: true})); return at; })()"
        )
        assert chosen >= 0, (label, option)

    async def tick(self, label: str) -> None:
        """Tick a box."""
        await self._click(label=label)
        assert await self.tab.run("window.found.checked") is True, label

    async def press(self, name: str) -> None:
        """Click a link or a button by its name, and wait for the page that comes."""
        await self.tab.run("window.here = true")
        await self._click(name=name)
        await self.tab.until("window.here !== true && document.readyState == 'complete'")

    async def _find(self, **wanted: str) -> dict[str, Any]:
        found = await self.tab.run(_FIND % json.dumps(wanted))
        assert found is not None, f"{wanted} is not on {await self.path()}:\n{await self.text()}"
        return dict(found)

    async def _click(self, **wanted: str) -> None:
        found = await self._find(**wanted)
        assert found["free"], f"something lies over {wanted}"
        for kind in ("mousePressed", "mouseReleased"):
            await self.tab.tell(
                "Input.dispatchMouseEvent", type=kind, x=found["x"], y=found["y"], button="left", clickCount=1
            )

    # --- the way in

    async def choose_password(self, link: str, password: str = PASSWORD, address: str = "") -> None:
        """Open the link of a mail and choose a password; a user's link asks for the address as well."""
        await self.open(link)
        if address:
            await self.fill("E-mail address", address)
        await self.fill("Password", password)
        await self.fill("The same again", password)
        await self.press("Save")

    async def log_in(self, address: str, password: str = PASSWORD) -> None:
        await self.open("/login")
        await self.fill("E-mail address", address)
        await self.fill("Password", password)
        await self.press("Log in")
