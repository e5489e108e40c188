"""Who sent this: SPF, DKIM and DMARC. The finding is what the domain of From asks for, and no worse for a slow DNS."""

from __future__ import annotations

from typing import Final

from schemas.events import Evidence, Status
from services.scanners.auth import dkim, dmarc, spf
from services.scanners.auth.lookups import Lookups
from services.scanners.contract import Context, Cost, Finding, Port, Spec
from services.scanners.mail import Mail
from services.scanners.text import clean, token, unfolded

SPEC: Final = Spec(name="auth", version="1", cost=Cost.NETWORK, timeout=10.0, ports=frozenset({Port.DNS}))

_SCORES: Final = {"reject": 8.0, "quarantine": 6.0}
_BAD_FROM: Final = 4.0  # whom the reader takes for the author can't be known, so DMARC protects nobody
_SPF_SCORES: Final = {"fail": 2.0, "softfail": 0.5}


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return CLEAN, or SUSPICIOUS when DMARC fails and its domain objects, or From names no one author."""
    envelope = mail.received.envelope
    values = [unfolded(value) for value in mail.values("from")]
    domain, problem = dmarc.author_domain(values)
    signatures = dkim.signatures(mail.fields)
    lookups = Lookups(ctx.dns, ctx.clock)
    sender = envelope.reverse_path.rpartition("@")[2] if envelope.reverse_path else envelope.helo
    await lookups.ask(
        [
            *((item.key_name, "TXT") for item in signatures if not item.problem),
            *((name, "TXT") for name in (dmarc.names(domain) if domain else ())),
            (sender.rstrip(".").lower(), "TXT"),
        ]
    )
    spf_result = await lookups.spf(envelope.client_ip, envelope.reverse_path, envelope.helo)
    verifier = dkim.Verifier(mail.fields, bytes(mail.tree.body), ctx.clock.now())
    dkim_results = [verifier.check(item, lookups.texts(item.key_name)) for item in signatures]
    dmarc_result = _dmarc(domain, problem, lookups, spf_result, dkim_results, mail.id)
    evidence = _evidence(spf_result, dkim_results, dmarc_result, len(values))
    worst = max((item.score for item in evidence), default=0.0)
    return Finding(
        status=Status.SUSPICIOUS if worst >= _BAD_FROM else Status.CLEAN,
        score=sum((item.score for item in evidence), 0.0),
        evidence=evidence,
        engine="gatepost-auth 1",
        results=(_spf_shown(spf_result), *_dkim_shown(dkim_results), _dmarc_shown(dmarc_result)),
    )


def _dmarc(
    domain: str,
    problem: str,
    lookups: Lookups,
    spf_result: spf.Result,
    dkim_results: list[dkim.Result],
    message: str,
) -> dmarc.Result:
    if problem:
        return dmarc.Result("permerror", "", reason=problem)
    for number, name in enumerate(dmarc.names(domain)):
        records = lookups.texts(name)
        if records is None:
            return dmarc.Result("temperror", domain)
        record = dmarc.read(records, subdomain=number > 0)
        if record:
            return dmarc.evaluate(domain, record, spf_result, dkim_results, message)
    return dmarc.Result("none", domain)


def _evidence(
    spf_result: spf.Result, dkim_results: list[dkim.Result], dmarc_result: dmarc.Result, from_fields: int
) -> tuple[Evidence, ...]:
    found: list[Evidence] = []
    if dmarc_result.result == "fail":
        text = clean(f"DMARC of {dmarc_result.domain} fails, and the domain asks for p={dmarc_result.policy}")
        code = "DMARC_FAIL" if dmarc_result.policy == "none" else f"DMARC_{dmarc_result.policy.upper()}"
        found.append(Evidence(code=code, text=text, score=_SCORES.get(dmarc_result.policy, 0.5)))
    if from_fields > 1:
        found.append(Evidence(code="MULTIPLE_FROM", text=f"{from_fields} From fields", score=_BAD_FROM))
    elif dmarc_result.reason:
        found.append(Evidence(code="FROM_UNCLEAR", text=dmarc_result.reason, score=_BAD_FROM))
    if spf_result.result in _SPF_SCORES and dmarc_result.result != "pass":
        text = clean(f"SPF of {spf_result.domain}: {spf_result.result}")
        score = _SPF_SCORES[spf_result.result]
        found.append(Evidence(code=f"SPF_{spf_result.result.upper()}", text=text, score=score))
    failed = [item for item in dkim_results if item.result == "fail"]
    if failed and not any(item.result == "pass" for item in dkim_results):
        text = clean(f"DKIM of {failed[0].domain}: {failed[0].reason}")
        found.append(Evidence(code="DKIM_FAIL", text=text, score=0.5))
    return tuple(found)


def _spf_shown(result: spf.Result) -> tuple[str, str]:
    return ("spf", f"{result.result} smtp.{result.identity}={token(result.domain)}" if result.domain else result.result)


def _dkim_shown(results: list[dkim.Result]) -> list[tuple[str, str]]:
    if not results:
        return [("dkim", "none")]
    shown = []
    for item in results:
        reason = f' reason="{item.reason}"' if item.reason else ""
        properties = [("d", item.domain), ("s", item.selector), ("b", item.digest)]
        text = "".join(f" header.{name}={token(value)}" for name, value in properties if value)
        shown.append(("dkim", f"{item.result}{reason}{text}"))
    return shown


def _dmarc_shown(result: dmarc.Result) -> tuple[str, str]:
    reason = f' reason="{result.reason}"' if result.reason else ""
    origin = f" header.from={token(result.domain)}" if result.domain else ""
    policy = f" policy.dmarc={result.policy}" if result.result in {"pass", "fail"} else ""
    return ("dmarc", f"{result.result}{reason}{origin}{policy}")
