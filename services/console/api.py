"""The REST API: a table of routes over the desk's operations. Who asks is in a bearer token, never in a cookie."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from services.console import models
from services.console.caller import ACT, Caller, FactorDue, Forbidden, Lapsed, NotFound, Refused
from services.console.desk import Desk
from services.console.texts import text
from services.console.users.room import Management
from services.console.web import client_of, guarded
from services.core.clock import Clock
from services.core.errors import Temporary
from services.quarantine.api.guard import API_POLICY, Failures
from services.runtime.signatures import keywords_of

OF: Final = "/customers/{customer}"
FAILURES_A_MINUTE: Final = 10  # wrong tokens from an address before it waits
_PROBLEM: Final[dict[str, Any]] = {"model": models.Problem}

Route = tuple[str, str, Callable[..., Awaitable[BaseModel]]]


def routes_of(desk: Desk) -> list[Route]:
    """Return every operation at its path."""
    one, name, who = f"{OF}", f"{OF}/domains/{{name}}", f"{OF}/accounts/{{account}}"
    return [
        ("GET", "/me", desk.accounts.me),
        ("GET", "/me/sessions", desk.accounts.sessions),
        ("DELETE", "/me/sessions", desk.accounts.end_other_sessions),
        ("DELETE", "/me/sessions/{session}", desk.accounts.end_session),
        ("GET", "/me/factors", desk.factors.factors),
        ("GET", "/customers", desk.customers.customers),
        ("POST", "/customers", desk.customers.add_customer),
        ("GET", "/kept", desk.kept.kept),
        ("GET", "/kept/{customer}", desk.kept.kept_customer),
        ("POST", "/kept/{customer}", desk.kept.take_over),
        ("GET", "/purges", desk.purged.purges),
        ("GET", "/purges/{purge}", desk.purged.certificate),
        ("GET", one, desk.customers.customer),
        ("DELETE", one, desk.customers.remove_customer),
        ("GET", f"{OF}/export", desk.customers.export),
        ("GET", f"{OF}/domains", desk.domains.domains),
        ("POST", f"{OF}/domains", desk.domains.add_domain),
        ("GET", name, desk.domains.domain),
        ("DELETE", name, desk.domains.remove_domain),
        ("POST", f"{name}/proof", desk.domains.prove_domain),
        ("POST", f"{name}/proof-mail", desk.proofs.mail_proof),
        ("PUT", f"{name}/routing", desk.domains.route_domain),
        ("POST", f"{name}/test", desk.domains.test_domain),
        ("GET", f"{name}/mx", desk.domains.mx),
        ("GET", f"{OF}/directory", desk.directories.directories),
        ("PUT", f"{OF}/directory/ldap/{{source}}", desk.directories.draft),
        ("DELETE", f"{OF}/directory/ldap/{{source}}", desk.directories.remove_directory),
        ("POST", f"{OF}/directory/ldap/{{source}}/try", desk.directories.try_directory),
        ("POST", f"{OF}/directory/ldap/{{source}}/use", desk.directories.use_directory),
        ("PUT", f"{OF}/directory/list", desk.directories.upload),
        ("POST", f"{OF}/directory/list/apply", desk.directories.apply_upload),
        ("GET", f"{OF}/outbound", desk.outbounds.outbound),
        ("PATCH", f"{OF}/outbound", desk.outbounds.change_outbound),
        ("POST", f"{OF}/outbound/accounts", desk.outbounds.add_submitter),
        ("DELETE", f"{OF}/outbound/accounts/{{name}}", desk.outbounds.remove_submitter),
        ("POST", f"{OF}/outbound/certificates", desk.outbounds.add_certificate),
        ("DELETE", f"{OF}/outbound/certificates/{{certificate}}", desk.outbounds.remove_certificate),
        ("GET", f"{OF}/data-loss", desk.data_loss.data_loss),
        ("PUT", f"{OF}/data-loss", desk.data_loss.set_data_loss),
        ("POST", f"{OF}/data-loss/what-if", desk.data_loss.try_data_loss),
        ("GET", f"{name}/outbound", desk.outbounds.outbound_records),
        ("POST", f"{name}/keys", desk.outbounds.make_keys),
        ("PUT", f"{name}/keys", desk.outbounds.use_keys),
        ("DELETE", f"{name}/keys/{{key}}", desk.outbounds.remove_keys),
        ("GET", f"{OF}/accounts", desk.accounts.accounts),
        ("POST", f"{OF}/accounts", desk.accounts.invite),
        ("PATCH", who, desk.accounts.change_account),
        ("POST", f"{who}/link", desk.accounts.send_link),
        ("DELETE", f"{who}/sessions", desk.accounts.sign_out),
        ("DELETE", f"{who}/factors", desk.factors.reset_factors),
        ("GET", f"{OF}/sign-in", desk.signon.sign_in),
        ("PUT", f"{OF}/sign-in/second-factor", desk.signon.require_factor),
        ("PUT", f"{OF}/sign-in/provider", desk.signon.set_provider),
        ("DELETE", f"{OF}/sign-in/provider", desk.signon.remove_provider),
        *user_routes(desk.users),
        ("GET", f"{OF}/tokens", desk.tokens.tokens),
        ("POST", f"{OF}/tokens", desk.tokens.make_token),
        ("DELETE", f"{OF}/tokens/{{token}}", desk.tokens.revoke_token),
        ("GET", f"{OF}/licence", desk.licences.licence),
        ("PUT", f"{OF}/licence", desk.licences.renew),
        ("PUT", f"{OF}/trial", desk.licences.limit_trial),
        ("GET", f"{OF}/audit", desk.history.audit),
        ("GET", f"{OF}/messages", desk.history.trace),
        ("GET", f"{OF}/messages/{{message}}", desk.history.traced),
        ("GET", "/figures", desk.figures.service_figures),
        ("GET", f"{OF}/figures", desk.figures.figures),
        ("GET", f"{OF}/queue", desk.queues.queue),
        ("POST", f"{OF}/queue", desk.queues.order_queue),
        ("GET", f"{OF}/held", desk.held.held),
        ("POST", f"{OF}/held", desk.held.act_held),
        ("GET", f"{OF}/held/{{message}}/preview", desk.held_reading.read_held),
        ("POST", f"{OF}/held/matching", desk.held.act_held_matching),
        ("GET", f"{OF}/report", desk.reports.report),
        ("GET", f"{OF}/reports", desk.reports.schedules),
        ("POST", f"{OF}/reports", desk.reports.add_schedule),
        ("DELETE", f"{OF}/reports/{{schedule}}", desk.reports.remove_schedule),
        ("GET", f"{OF}/policy", desk.policies.policy),
        ("PUT", f"{OF}/policy", desk.policies.set_policy),
        ("GET", f"{OF}/policy/yaml", desk.policies.policy_yaml),
        ("POST", f"{OF}/policy/what-if", desk.policies.what_if),
        ("GET", f"{OF}/senders", desk.lists.senders),
        ("PUT", f"{OF}/senders", desk.lists.change_senders),
        ("GET", f"{OF}/protection", desk.protections.protection),
        ("PUT", f"{OF}/protection", desk.protections.set_protection),
        ("GET", f"{OF}/hosts", desk.protections.hosts),
        ("PUT", f"{OF}/hosts", desk.protections.set_hosts),
        ("GET", f"{OF}/retention", desk.protections.retention),
        ("PUT", f"{OF}/retention", desk.protections.set_retention),
    ]


def user_routes(users: Management) -> list[Route]:
    """Return the operations on users and groups."""
    who = f"{OF}/users/{{user}}"
    return [
        ("GET", f"{OF}/users", users.users),
        ("POST", f"{OF}/users", users.add_user),
        ("POST", f"{OF}/users/table", users.import_users),
        ("POST", f"{OF}/users/directory", users.read_users),
        ("POST", f"{OF}/users/links", users.invite_users),
        ("GET", who, users.user),
        ("PATCH", who, users.change_user),
        ("DELETE", who, users.remove_user),
        ("POST", f"{who}/link", users.user_link),
    ]


def make_api(desk: Desk, clock: Clock) -> FastAPI:
    """Return the application of /api/v1."""
    app = FastAPI(
        title="Gatepost console",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses={401: _PROBLEM, 403: _PROBLEM, 404: _PROBLEM, 409: _PROBLEM, 429: _PROBLEM},
    )
    guarded(app, API_POLICY)
    answer_errors(app)
    failures = Failures(FAILURES_A_MINUTE, clock)

    async def who(request: Request) -> Caller:
        client = client_of(request)
        if failures.waits(client):
            raise HTTPException(429, "too many wrong tokens", {"Retry-After": "60"})
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        caller = await desk.signin.token(token.strip(), client) if kind.lower() == "bearer" else None
        if caller is None:
            failures.note(client)
            raise HTTPException(401, "a token is needed", {"WWW-Authenticate": "Bearer"})
        return caller

    router = APIRouter()
    for method, path, operation in routes_of(desk):
        router.add_api_route(
            path,
            _bound(operation, who),
            methods=[method],
            response_model=inspect.signature(operation, eval_str=True).return_annotation,
            operation_id=operation.__name__,
            summary=(operation.__doc__ or "").strip().split("\n")[0].rstrip("."),
            openapi_extra={"x-gatepost-scope": getattr(operation, ACT).value},
        )
    app.include_router(router)
    return app


def _bound(operation: Callable[..., Any], who: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operation with its caller from the token: there is no way to add one without."""

    @functools.wraps(operation)
    async def bound(caller: Caller, **values: Any) -> Any:  # noqa: ANN401  # whatever the operation takes
        return await operation(caller, **values)

    signature = keywords_of(operation, caller=Annotated[Caller, Depends(who)])
    bound.__signature__ = signature  # type: ignore[attr-defined]  # what FastAPI reads
    return bound


def answer_errors(app: FastAPI) -> None:
    """Answer what operations raise, in one line each."""

    def line(status: int, detail: str) -> Response:
        return JSONResponse({"detail": detail}, status)

    @app.exception_handler(NotFound)
    async def not_found(_request: Request, _error: Exception) -> Response:
        return line(404, "not found")

    @app.exception_handler(Forbidden)
    async def forbidden(_request: Request, _error: Exception) -> Response:
        return line(403, "this role or token may not do this")

    @app.exception_handler(FactorDue)
    async def factor_due(_request: Request, _error: Exception) -> Response:
        return line(403, "a second factor has to be set up first")

    @app.exception_handler(Lapsed)
    async def lapsed(_request: Request, _error: Exception) -> Response:
        return line(402, "the licence has lapsed: only its renewal is open")

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)  # noqa: S101  # what the handler is registered for
        return line(409, text(error.key, "en", **error.values))

    @app.exception_handler(Temporary)
    async def busy(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"detail": "try again in a moment"}, 503, {"Retry-After": "5"})

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # as above
        where = [".".join(map(str, each["loc"])) + f": {each['msg']}" for each in error.errors()]
        return line(422, "; ".join(where[:5]))
