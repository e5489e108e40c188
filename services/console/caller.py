"""Who asks, what he may, and the one way in which an operation is called."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

from sqlalchemy import select

from services.console.book import Author, Book
from services.console.licence import State, state_of
from services.console.roles import OF_DOMAINS, RENEWAL, Act, Role, may
from services.console.tables import CUSTOMERS
from services.core.clock import Clock
from services.core.errors import Permanent

P = ParamSpec("P")
R = TypeVar("R")

EVERY: Final = ""  # the customer of an operator: the whole service


class NotFound(Permanent):
    """There is no such thing, or it is another customer's: which of the two is none of the caller's business."""


class Forbidden(Permanent):
    """The caller's role, or his token's scopes, don't include it."""


class Lapsed(Permanent):
    """The customer's licence has lapsed: renewal is all that is open."""


class FactorDue(Permanent):
    """A second factor is required of the caller, and he has none yet: to set one up is all that is open."""


class Refused(Permanent):
    """What was asked for can't be. The text is a key of `texts`, with what stands in its gaps."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who has shown who he is."""

    account: str  # its id
    customer: str  # empty: an operator
    role: Role
    address: str
    language: str = ""
    client: str = ""  # the address that he asks from
    session: str = ""  # the id of his session; empty: a token
    scopes: frozenset[Act] | None = None  # None: all that the role may
    domains: frozenset[str] | None = None  # of the customer's, that he is limited to; None: all
    begun_at: float = 0.0  # when his session began
    factor_due: bool = False  # a second factor is required of him, and his session began without one

    @property
    def author(self) -> Author:
        """How the audit log names him."""
        return Author(f"{self.address} ({self.role.value})", self.client)

    def may(self, act: Act) -> bool:
        """Return whether role, scopes and limits include it."""
        within = self.domains is None or act in OF_DOMAINS
        return within and may(self.role, act) and (self.scopes is None or act in self.scopes)

    def sees(self, domain: str) -> bool:
        """Return whether the domain is within what he is limited to."""
        return self.domains is None or domain in self.domains

    def covers(self, domains: frozenset[str] | None) -> bool:
        """Return whether somebody who is limited to these (None: to nothing) sees no more than he does."""
        return self.domains is None or (domains is not None and domains <= self.domains)


class Room(Protocol):
    """What has operations."""

    @property
    def book(self) -> Book:
        """The database."""
        ...


S = TypeVar("S", bound=Room)
ACT: Final = "__act__"  # on an operation: what it needs
LIMITED: Final = "__limited__"  # on an operation: that it keeps to the domains that its caller is limited to


Operation = Callable[Concatenate[S, Caller, P], Awaitable[R]]


def allowed(act: Act, *, limited: bool = False) -> Callable[[Operation[S, P, R]], Operation[S, P, R]]:
    """Let an operation be called only by who may. One with a `customer` is refused for another's as if there were none.

    `limited` says that it keeps to `caller.domains` by itself; one that doesn't is closed to whoever is limited.
    It raises NotFound, Forbidden, FactorDue or Lapsed before anything of the operation runs.
    """
    limited = limited or act is Act.SELF

    def wrap(operation: Operation[S, P, R]) -> Operation[S, P, R]:
        signature = inspect.signature(operation)

        @functools.wraps(operation)
        async def guarded(room: S, caller: Caller, /, *args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(room, caller, *args, **kwargs).arguments
            customer = cast("str | None", given.get("customer"))
            if customer is not None and caller.customer not in {EVERY, customer}:
                raise NotFound("another customer's")
            if not caller.may(act) or (caller.domains is not None and not limited):
                raise Forbidden(act.value)
            if caller.factor_due and act is not Act.SELF:
                raise FactorDue(act.value)
            concerned = customer if customer is not None else caller.customer
            if act not in RENEWAL and caller.role is not Role.OPERATOR and concerned:
                await _not_lapsed(room.book, concerned)
            return await operation(room, caller, *args, **kwargs)

        setattr(guarded, ACT, act)
        setattr(guarded, LIMITED, limited)
        return guarded

    return wrap


async def _not_lapsed(book: Book, customer: str) -> None:
    state = await standing_state(book, customer, book.clock)
    if state in {State.LAPSED, State.PURGE}:
        raise Lapsed(customer)


async def standing_state(book: Book, customer: str, clock: Clock) -> State | None:
    """Return the licence's state, None where there is no such customer."""
    asked = select(CUSTOMERS.c.trial_until, CUSTOMERS.c.paid_until).where(CUSTOMERS.c.id == customer)
    async with book.reading() as connection:
        row = (await connection.execute(asked)).first()
    return None if row is None else state_of(book.standing(row), clock.now())
