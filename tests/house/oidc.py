"""A little OpenID Connect provider: codes, PKCE and tokens that are really signed. What is wrong with it can be set."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwk, jwt

from services.console.outward import OutwardUnavailable, url_problem
from tests.house.asgi import Browser

CLIENT, SECRET = "gatepost", "a secret: with signs & spaces"


class Provider:
    """One issuer, with one user who is always signed in."""

    def __init__(self, issuer: str, now: Any = time.time) -> None:
        self.issuer = issuer
        self.now = now
        self.key: jwk.Key = jwk.ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}, private=True)
        self.signing: Any = None  # another key than the published one
        self.algorithm = "ES256"
        self.user: dict[str, Any] = {"email": "ann@acme.test", "email_verified": True, "name": "Ann"}
        self.claims: dict[str, Any] = {}  # in place of what is right
        self.left_out: set[str] = set()
        self.discovery: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None  # the address stands there, not in the token
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.app = FastAPI()
        for path, handler, method in (
            ("/.well-known/openid-configuration", self._discovery, "GET"),
            ("/authorize", self._authorize, "GET"),
            ("/token", self._token, "POST"),
            ("/keys", self._keys, "GET"),
            ("/userinfo", self._userinfo, "GET"),
        ):
            self.app.add_api_route(path, handler, methods=[method])

    async def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "authorization_response_iss_parameter_supported": True,
            **self.discovery,
        }

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.issuer}
        return RedirectResponse(f"{asked['redirect_uri']}?{urllib.parse.urlencode(back)}", 302)

    async def _token(self, request: Request) -> Response:
        form = dict(urllib.parse.parse_qsl((await request.body()).decode()))
        code, redirect_uri, code_verifier = form["code"], form["redirect_uri"], form["code_verifier"]
        asked = self.codes.pop(code, None)  # once
        kind, _, told = request.headers.get("authorization", "").partition(" ")
        pair = base64.b64decode(told).decode() if kind == "Basic" else ""
        known = pair == f"{CLIENT}:{urllib.parse.quote_plus(SECRET)}"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        if asked is None or not known or asked["redirect_uri"] != redirect_uri or asked["code_challenge"] != challenge:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(self.now())
        claims = {"iss": self.issuer, "sub": "u1", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims = {**claims, **({} if self.userinfo else self.user), **self.claims}
        claims = {name: value for name, value in claims.items() if name not in self.left_out}
        header = {"alg": self.algorithm, "kid": "one"}
        token = jwt.encode(header, claims, self.signing or self.key, algorithms=[self.algorithm])
        return JSONResponse({"access_token": "at", "token_type": "Bearer", "id_token": token})

    async def _keys(self) -> dict[str, Any]:
        return {"keys": [{"kty": "oct", "k": "AAAA"}, {"kty": "?"}, self.key.as_dict(private=False)]}

    async def _userinfo(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer at" or self.userinfo is None:
            return JSONResponse({}, 401)
        return JSONResponse({"sub": "u1", **self.userinfo})


class InProcess:
    """Asks a provider without a network, by the rules of the real one."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def ask(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """See Outward."""
        assert not url_problem(url, private=False)
        self._provider.asked.append(url)
        if not url.startswith(self._provider.issuer):
            raise OutwardUnavailable("another host")
        body = b"" if form is None else urllib.parse.urlencode(form).encode()
        kind = {} if form is None else {"content-type": "application/x-www-form-urlencoded"}
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        browser = Browser(self._provider.app, self._provider.issuer)
        path = url.removeprefix(self._provider.issuer)
        answer = await browser.ask("GET" if form is None else "POST", path, body, {**kind, **sent})
        if answer.status != 200:
            raise OutwardUnavailable(f"HTTP {answer.status}")
        found: dict[str, Any] = answer.json
        return found
