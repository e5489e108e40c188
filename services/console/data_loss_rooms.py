"""The pages of data-loss rules: all of them, and one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response

from services.console.caller import NotFound
from services.console.data_loss_models import DataLoss, DataRule, NewDataLoss
from services.console.pages import Doors, Frame, Visit, go
from services.console.rule_form import lines
from services.core.data_loss import ACTIONS, NUMBERS

_LISTS: Final = ("patterns", "words", "files", "senders", "recipients", "bcc")
Values = Mapping[str, list[str]]  # what a form has in its fields


class DataLossRooms:
    """Each page, and what its forms do. What is saved is always the list as a whole."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        of = "/c/{customer}/data-loss"
        self._doors.open(of, self.rules)
        self._doors.open(f"{of}/rule", self.rule, self.do_rule)

    async def rules(self, visit: Visit) -> Response:
        return await self._page(visit, "data_loss", rules=(await self._known(visit)).rules)

    async def rule(self, visit: Visit) -> Response:
        known, old = await self._known(visit), visit.query("name")
        return await self._page(
            visit,
            "data_rule",
            values=visit.form if "name" in visit.form else _values(known, old),
            version=visit.field("version", known.version),
            old=old,
            numbers=NUMBERS,
            actions=ACTIONS,
            tried=visit.shown.get("tried"),
        )

    async def do_rule(self, visit: Visit) -> Response:
        known, old, action = await self._known(visit), visit.query("name"), visit.field("action")
        _values(known, old)
        rules = [rule for rule in known.rules if rule.name != old]
        if not action.endswith("delete"):
            place = next((index for index, rule in enumerate(known.rules) if rule.name == old), len(rules))
            rules.insert(place, _read(visit.form))
        body = NewDataLoss(version=visit.field("version"), rules=rules)
        desk = visit.desk.data_loss
        if action.startswith("try"):
            tried = await desk.try_data_loss(visit.who, customer=visit.customer, body=body)
            return await self.rule(dataclasses.replace(visit, shown={"tried": tried}))
        await desk.set_data_loss(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/data-loss", "policy-saved")

    async def _known(self, visit: Visit) -> DataLoss:
        return await visit.desk.data_loss.data_loss(visit.who, customer=visit.customer)


def _values(known: DataLoss, name: str) -> Values:
    """Return the fields of the rule's form, or of that of a new one where no name is given."""
    if not name:
        return {"then": ["block"], "at_least": ["1"]}
    rule = next((rule for rule in known.rules if rule.name == name), None)
    if rule is None:
        raise NotFound(name)
    return {
        "name": [rule.name],
        "then": [rule.then],
        "numbers": rule.numbers,
        "unread": ["yes"] if rule.unread else [],
        "at_least": [str(rule.at_least)],
        **{field: ["\n".join(getattr(rule, field))] for field in _LISTS},
    }


def _read(values: Values) -> DataRule:
    """Return the rule that was filled in; raise pydantic's ValidationError for what none can say."""

    def field(name: str) -> str:
        return (values.get(name) or [""])[0].strip()

    said: dict[str, Any] = {name: lines(field(name)) for name in _LISTS}
    return DataRule.model_validate(
        {
            **said,
            "name": field("name"),
            "then": field("then"),
            "numbers": values.get("numbers", []),
            "unread": field("unread") == "yes",
            "at_least": field("at_least") or "1",
        },
        strict=False,
    )
