"""Passkeys (WebAuthn level 2): what a browser is asked, and whether its answer is right. Pure."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Sequence
from typing import Any, Final

import webauthn
from webauthn.helpers import base64url_to_bytes, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from services.core.errors import Permanent

CHALLENGE: Final = 32  # octets
TIMEOUT: Final = 120_000  # milliseconds that a person may take
ANSWER_MOST: Final = 20_000  # characters of what a browser sends
_MALFORMED: Final = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError)


class BadPasskey(Permanent):
    """What the browser sent is no answer to what it was asked. The text is for the log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """A new passkey."""

    credential: bytes
    public_key: bytes
    sign_count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """An answer before it is verified: whose it says it is."""

    credential: bytes
    account: str  # empty: it doesn't say


class Ceremony:
    """Of one relying party: the host that people reach the console at."""

    def __init__(self, host: str, origin: str, name: str) -> None:
        self._host = host
        self._origin = origin
        self._name = name

    def ask_new(self, account: str, address: str, challenge: bytes, known: Sequence[bytes]) -> str:
        """Return, as JSON, what `navigator.credentials.create` is to be given."""
        options = webauthn.generate_registration_options(
            rp_id=self._host,
            rp_name=self._name,
            user_id=account.encode(),
            user_name=address,
            challenge=challenge,
            timeout=TIMEOUT,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
            # In the authenticator, and behind its PIN or a finger: so it is two factors, and needs no address typed.
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
        )
        return str(webauthn.options_to_json(options))

    def ask(self, challenge: bytes, known: Sequence[bytes] = ()) -> str:
        """Return, as JSON, what `navigator.credentials.get` is to be given; `known`: one of these, else any."""
        options = webauthn.generate_authentication_options(
            rp_id=self._host,
            challenge=challenge,
            timeout=TIMEOUT,
            allow_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return str(webauthn.options_to_json(options))

    def registered(self, answer: str, challenge: bytes) -> Registered:
        """Return the passkey that was made; raise BadPasskey for an answer that isn't right."""
        try:
            found = webauthn.verify_registration_response(
                credential=_parsed(answer),
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except _MALFORMED as error:
            raise BadPasskey(_reason(error)) from error
        return Registered(found.credential_id, found.credential_public_key, found.sign_count)

    def shown(self, answer: str) -> Shown:
        """Return which passkey the answer says it is of; raise BadPasskey for what is none."""
        try:
            parsed = parse_authentication_credential_json(_parsed(answer))
            handle = parsed.response.user_handle
            return Shown(parsed.raw_id, handle.decode("ascii") if handle else "")
        except _MALFORMED as error:
            raise BadPasskey(_reason(error)) from error

    def verified(self, answer: str, challenge: bytes, public_key: bytes, sign_count: int) -> int:
        """Return the new count of the passkey; raise BadPasskey for an answer that isn't right."""
        try:
            found = webauthn.verify_authentication_response(
                credential=_parsed(answer),
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=public_key,
                credential_current_sign_count=sign_count,
                require_user_verification=True,
            )
        except _MALFORMED as error:
            raise BadPasskey(_reason(error)) from error
        return found.new_sign_count


def new_challenge() -> bytes:
    """Return a challenge."""
    return secrets.token_bytes(CHALLENGE)


def challenge_of(payload: str) -> bytes:
    """Return the challenge that a step keeps."""
    return bytes(base64url_to_bytes(json.loads(payload)["challenge"]))


def _parsed(answer: str) -> dict[str, Any]:
    if len(answer) > ANSWER_MOST:
        raise ValueError("the answer is too long")
    try:
        parsed = json.loads(answer)
    except RecursionError as error:
        raise ValueError("the answer is nested too deeply") from error
    if not isinstance(parsed, dict):
        raise TypeError("the answer is no object")
    return parsed


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
