"""The pages of the policy: its rules in their order, one of them at a time, and all of them as YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Response

from services.console.caller import NotFound
from services.console.pages import Doors, Frame, Visit, go
from services.console.policy_models import NewPolicy, Policy
from services.console.rule_form import (
    ACTIONS,
    STATUSES,
    Values,
    listed,
    moved,
    named,
    new,
    placed,
    read,
    switched,
    values_of,
    without,
)

UNSCANNED: Final = ("hold", "quarantine", "deliver")


class PolicyRooms:
    """Each page, and what its forms do. What is saved is always the policy as a whole."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        of = "/c/{customer}/policies"
        self._doors.open(of, self.policies, self.do_policies)
        self._doors.open(f"{of}/yaml", self.yaml, self.do_yaml)
        self._doors.open(f"{of}/rule", self.rule, self.do_rule)

    async def policies(self, visit: Visit) -> Response:
        policy = await self._policy(visit)
        groups = visit.field("groups", listed(policy.groups.items()))
        return await self._page(visit, "policies", policy=policy, unscanned=UNSCANNED, groups=groups)

    async def do_policies(self, visit: Visit) -> Response:
        policy, name = await self._policy(visit), visit.field("rule")
        match visit.field("action"):
            case "up":
                rules = moved(policy, name, -1)
            case "down":
                rules = moved(policy, name, 1)
            case "off" | "on":
                rules = switched(policy, name, off=visit.field("action") == "off")
            case "unscanned" | "groups":
                rules = policy.rules
            case _:
                raise NotFound("no such action")
        body = NewPolicy.model_validate(
            {
                "version": visit.field("version"),
                "rules": rules,
                "groups": dict(named(visit.field("groups"))) if "groups" in visit.form else policy.groups,
                "unscanned": visit.field("unscanned", policy.unscanned),
            }
        )
        await visit.desk.policies.set_policy(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/policies", "policy-saved")

    # --- one rule

    async def rule(self, visit: Visit) -> Response:
        policy, old = await self._policy(visit), visit.query("name")
        return await self._page(
            visit,
            "rule",
            values=visit.form if "name" in visit.form else _values(policy, old),
            version=visit.field("version", policy.version),
            old=old,
            places=len(policy.rules) + (not old),
            statuses=STATUSES,
            actions=ACTIONS,
            found=visit.shown.get("found"),
        )

    async def do_rule(self, visit: Visit) -> Response:
        policy, old, action = await self._policy(visit), visit.query("name"), visit.field("action")
        _values(policy, old)
        if action in {"delete", "try-delete"}:
            rules = without(policy, old)
        else:
            rules = placed(policy, old, read(visit.form), visit.field("place"))
        version = visit.field("version")
        body = NewPolicy(version=version, rules=rules, groups=policy.groups, unscanned=policy.unscanned)
        return await self._tried_or_saved(visit, body, self.rule, trying=action.startswith("try"))

    # --- all of them

    async def yaml(self, visit: Visit) -> Response:
        policy = await self._policy(visit)
        exported = await visit.desk.policies.policy_yaml(visit.who, customer=visit.customer)
        return await self._page(
            visit,
            "policy_yaml",
            yaml=visit.field("yaml", exported.yaml),
            version=visit.field("version", policy.version),
            found=visit.shown.get("found"),
        )

    async def do_yaml(self, visit: Visit) -> Response:
        if visit.field("action") == "export":
            exported = await visit.desk.policies.policy_yaml(visit.who, customer=visit.customer)
            name = f'attachment; filename="{visit.customer}-policy.yaml"'
            return Response(exported.yaml, media_type="application/yaml", headers={"Content-Disposition": name})
        body = NewPolicy(version=visit.field("version"), yaml=visit.field("yaml") or "rules: []")
        return await self._tried_or_saved(visit, body, self.yaml, trying=visit.field("action") == "try")

    # --- helpers

    async def _tried_or_saved(
        self, visit: Visit, body: NewPolicy, show: Callable[[Visit], Awaitable[Response]], *, trying: bool
    ) -> Response:
        desk = visit.desk.policies
        if trying:
            found = await desk.what_if(visit.who, customer=visit.customer, body=body)
            return await show(dataclasses.replace(visit, shown={"found": found}))
        await desk.set_policy(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/policies", "policy-saved")

    async def _policy(self, visit: Visit) -> Policy:
        return await visit.desk.policies.policy(visit.who, customer=visit.customer)


def _values(policy: Policy, name: str) -> Values:
    """Return the fields of the rule's form, or of that of a new one where no name is given."""
    if not name:
        return new(len(policy.rules))
    for place, rule in enumerate(policy.rules, 1):
        if rule.name == name:
            return values_of(rule, place)
    raise NotFound(name)
