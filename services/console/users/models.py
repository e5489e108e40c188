"""What the administrators' API says and takes of users and groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from services.console.models import Language, Short, Strict

Chosen = Language | Literal[""]  # empty: what the browser asks for
Listed = Annotated[list[Short], Field(max_length=500)]
Name = Annotated[str, Field(max_length=200)]


class EndUser(BaseModel):
    """A user, or a group whose members see what is held for it."""

    id: str
    kind: Literal["user", "group"]
    address: str
    name: str
    source: str  # hand, csv, or ldap: and the directory's name
    language: str
    addresses: list[str]  # all of them
    active: bool  # has a password of our own
    closed: bool
    made_at: float


class EndUsers(BaseModel):
    """Users and groups by address; `after` is where the next page begins, empty at the end."""

    users: list[EndUser]
    after: str
    ldap: bool  # the customer has an LDAP directory to read


class EndUserShown(EndUser):
    """One of them, with who belongs to it."""

    members: list[str]  # of a group: its users' addresses
    groups: list[str]  # that a user is a member of
    directory_groups: list[str] = []  # that rules may mean, behind directory:


class NewEndUser(Strict):
    """A user or a group to make."""

    address: Short
    kind: Literal["user", "group"] = "user"
    name: Name = ""
    aliases: Listed = Field(default=[])
    members: Listed = Field(default=[])  # of a group
    language: Chosen = ""
    invite: bool = True  # send a user the mail with his activation link


class EndUserChange(Strict):
    """What is to be otherwise; what isn't there stays."""

    name: Name | None = None
    aliases: Listed | None = None
    members: Listed | None = None
    language: Chosen | None = None
    closed: bool | None = None


class EndUsersTable(Strict):
    """A table: address, name, aliases, kind, members; the last three may be left out."""

    csv: Annotated[str, Field(max_length=250_000)]
    replace: bool = False  # who came by a table before and isn't in this one goes
    invite: bool = False  # send new users their activation links


class TakenIn(BaseModel):
    """What a table or a directory has changed."""

    added: int
    changed: int
    removed: int
    left_out: list[str]  # addresses that somebody else has


class Invited(BaseModel):
    """How many activation mails are on their way."""

    count: int
