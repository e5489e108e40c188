"""OpenID Connect, the relying party's side. Pure.

Core 1.0 and Discovery 1.0, with PKCE (RFC 7636) and the issuer in the answer (RFC 9207).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from services.console.outward import url_problem
from services.core.errors import Permanent

# By a key that the provider alone has: with a shared secret whoever knows it could sign in as anybody.
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "Ed25519")  # RFC 7518, RFC 9864
KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
KEYS_MOST: Final = 50  # of a provider that are looked at
TOKEN_MOST: Final = 32_768  # characters
LEEWAY: Final = 60  # seconds that the provider's clock may differ
AGE_MOST: Final = 600  # seconds since the token was made
SCOPE: Final = "openid email profile"


class BadProvider(Permanent):
    """What the provider says is not as OpenID Connect has it. The text is for the log: it holds no secret."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a provider says of itself."""

    issuer: str
    authorization: str
    token: str
    keys: str
    userinfo: str  # empty: none
    basic: bool  # the client's secret goes in the header, not in the form
    says_issuer: bool  # its answers name the issuer


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, by his provider."""

    subject: str
    address: str  # as the provider writes it; empty: it doesn't say
    verified: bool  # the provider says that the address is his
    name: str


def discovery_url(issuer: str) -> str:
    """Return where a provider describes itself (Discovery section 4)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def read_discovery(document: Mapping[str, Any], issuer: str, *, private: bool) -> Discovery:
    """Return what the document says; raise BadProvider when it is another issuer's, or lacks something."""
    if document.get("issuer") != issuer:
        raise BadProvider("the document is of another issuer")

    def url(name: str, *, optional: bool = False) -> str:
        value = document.get(name, "" if optional else None)
        if optional and value == "":
            return ""
        problem = url_problem(value, private=private) if isinstance(value, str) and len(value) <= 2_000 else "not there"  # noqa: PLR2004  # longer than any in use
        if problem:
            raise BadProvider(f"{name}: {problem}")
        return str(value)

    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if not isinstance(methods, list) or not {"client_secret_basic", "client_secret_post"} & set(map(str, methods)):
        raise BadProvider("it takes no client's secret")
    return Discovery(
        issuer=issuer,
        authorization=url("authorization_endpoint"),
        token=url("token_endpoint"),
        keys=url("jwks_uri"),
        userinfo=url("userinfo_endpoint", optional=True),
        basic="client_secret_basic" in methods,
        says_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def authorization_url(
    discovery: Discovery, *, client: str, callback: str, state: str, nonce: str, verifier: str
) -> str:
    """Return where the browser is sent to."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": callback,
        "scope": SCOPE,
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    joint = "&" if urllib.parse.urlsplit(discovery.authorization).query else "?"
    return discovery.authorization + joint + urllib.parse.urlencode(asked)


def token_request(
    discovery: Discovery, *, client: str, secret: str, callback: str, code: str, verifier: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return form and headers of the request that redeems a code."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback, "code_verifier": verifier}
    if discovery.basic:
        pair = f"{urllib.parse.quote_plus(client)}:{urllib.parse.quote_plus(secret)}"  # RFC 6749 section 2.3.1
        return form, {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {**form, "client_id": client, "client_secret": secret}, {}


def identity_of(
    token: object, keys: Mapping[str, Any], discovery: Discovery, *, client: str, nonce: str, now: float
) -> Identity:
    """Return whom an ID token is about (Core section 3.1.3.7); raise BadProvider for one that isn't right."""
    if not isinstance(token, str) or len(token) > TOKEN_MOST:
        raise BadProvider("no ID token")
    claims = _claims(token, keys)
    required = jwt.JWTClaimsRegistry(
        now=int(now),
        leeway=LEEWAY,
        iss={"essential": True, "value": discovery.issuer},
        sub={"essential": True},
        aud={"essential": True, "value": client},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        required.validate(claims)
    except JoseError as error:
        raise BadProvider(f"{type(error).__name__}: {error}") from error
    audience = claims["aud"]
    if isinstance(audience, list) and audience != [client] and claims.get("azp") != client:
        raise BadProvider("for others as well, and authorised for another")
    if claims.get("azp", client) != client:
        raise BadProvider("authorised for another")
    if claims["iat"] < now - AGE_MOST:
        raise BadProvider("an old token")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise BadProvider("the token answers another question")
    return _identity(claims)


def with_userinfo(identity: Identity, answer: Mapping[str, Any]) -> Identity:
    """Return the identity with what the userinfo endpoint says; raise BadProvider when that is somebody else's."""
    if answer.get("sub") != identity.subject:
        raise BadProvider("the user's information is another's")
    return _identity({**answer, "sub": identity.subject})


def _identity(claims: Mapping[str, Any]) -> Identity:
    address, name = claims.get("email"), claims.get("name")
    return Identity(
        subject=str(claims["sub"]),
        address=address if isinstance(address, str) and len(address) <= 320 else "",  # noqa: PLR2004  # RFC 5321
        verified=claims.get("email_verified") in (True, "true"),
        name="".join(char for char in name if char.isprintable())[:200] if isinstance(name, str) else "",
    )


def _claims(token: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that one of the provider's keys has signed."""
    try:
        header = jws.extract_compact(token.encode("ascii")).headers()
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadProvider("no ID token") from error
    reason = "no key of the provider's fits"
    for key in _candidates(keys, header.get("kid")):
        try:
            return jwt.decode(token, key, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"
    raise BadProvider(reason[:200])


def _candidates(keys: Mapping[str, Any], kid: object) -> list[jwk.Key]:
    listed = keys.get("keys")
    found = []
    for each in (listed if isinstance(listed, list) else [])[:KEYS_MOST]:
        if not isinstance(each, dict) or each.get("kty") not in KEY_TYPES or each.get("use", "sig") != "sig":
            continue
        if kid is not None and each.get("kid") != kid:
            continue
        try:
            found.append(jwk.import_key(each))
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # of a kind that we don't know: it signs nothing for us
    return found
