"""What goes over the API of second factors and of single sign-on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from services.console.models import Strict
from services.console.roles import Role


class Passkey(BaseModel):
    """One of one's own."""

    id: str
    label: str
    made_at: float
    used_at: float  # 0: never


class Factors(BaseModel):
    """One's own second factors."""

    totp: bool  # an authenticator's codes are asked for
    recovery_codes: int  # that are left
    passkeys: list[Passkey]
    due: bool  # one is required, and there is none yet
    passkeys_possible: bool  # people reach the console by a name


class Seed(BaseModel):
    """What an authenticator is given, shown once."""

    secret: str  # base32, in groups
    uri: str  # otpauth
    picture: str  # a QR code of it: a data URI


class Code(Strict):
    """A code that an authenticator shows."""

    code: Annotated[str, Field(max_length=100)]


class RecoveryCodes(BaseModel):
    """Good once each, and shown this once."""

    codes: list[str]


class Asked(BaseModel):
    """What a browser is asked, and the step that awaits its answer."""

    step: str
    options: str  # JSON


class NewPasskey(Strict):
    """What the browser has made."""

    step: Annotated[str, Field(max_length=100)]
    answer: Annotated[str, Field(max_length=20_000)]  # JSON
    label: Annotated[str, Field(min_length=1, max_length=100)]


class FactorRule(Strict):
    """Whether a second factor is required of everybody who signs in with a password."""

    required: bool


# Which users come in by the provider: none; those there are, and whose address the directory has; or whoever has an
# address in the customer's domains.
UsersSignOn = Literal["", "known", "all"]


class Provider(Strict):
    """A customer's OpenID Connect provider."""

    issuer: Annotated[str, Field(min_length=1, max_length=500)]
    client: Annotated[str, Field(min_length=1, max_length=300)]
    secret: Annotated[str, Field(max_length=1_000)] = ""  # empty: the one that is kept stays
    role: Role | None = None  # of accounts that are made at the first sign-in; None: none are made
    users: UsersSignOn = ""


class SignInRules(BaseModel):
    """How a customer's people sign in. The provider's secret is never given out."""

    second_factor: bool
    issuer: str  # empty: no provider
    client: str
    role: Role | None
    callback: str  # that the provider must know
    start: str  # the address at which people begin
    users: UsersSignOn
    users_callback: str  # that the provider must know where users come in by it
    users_start: str
