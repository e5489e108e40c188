"""Who sent this: SPF, DKIM, DMARC and ARC.

The finding is what the domain of From asks for, and no worse for a slow DNS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.events import Evidence, Status
from services.scanners.auth import arc, dkim, dmarc, spf
from services.scanners.auth.evaluate import Authentication, authenticate
from services.scanners.contract import Context, Cost, Finding, Port, Spec
from services.scanners.mail import Mail
from services.scanners.text import clean, token

SPEC: Final = Spec(name="auth", version="2", cost=Cost.NETWORK, timeout=10.0, ports=frozenset({Port.DNS}))

_SCORES: Final = {"reject": 8.0, "quarantine": 6.0}
_BAD_FROM: Final = 4.0  # whom the reader takes for the author can't be known, so DMARC protects nobody
_SPF_SCORES: Final = {"fail": 2.0, "softfail": 0.5}


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return CLEAN, or SUSPICIOUS when DMARC fails and its domain objects, or From names no one author."""
    who = await authenticate(mail, ctx.dns, ctx.clock, ctx.arc_sealers, ctx.briefing.forwarders)
    evidence = _evidence(who)
    worst = max((item.score for item in evidence), default=0.0)
    return Finding(
        status=Status.SUSPICIOUS if worst >= _BAD_FROM else Status.CLEAN,
        score=sum((item.score for item in evidence), 0.0),
        evidence=evidence,
        engine="gatepost-auth 2",
        results=(_spf_shown(who.spf), *_dkim_shown(who.dkim), _dmarc_shown(who.dmarc), *_arc_shown(who.arc)),
    )


def _evidence(who: Authentication) -> tuple[Evidence, ...]:
    found: list[Evidence] = []
    spf_result, dkim_results, dmarc_result = who.spf, who.dkim, who.dmarc
    if dmarc_result.result == "fail" and who.forwarded_by:
        text = clean(f"DMARC of {dmarc_result.domain} fails, and passed at {who.forwarded_by}, which sealed that (ARC)")
        found.append(Evidence(code="DMARC_FORWARDED", text=text))
    elif dmarc_result.result == "fail" and who.forwarder:
        text = clean(
            f"DMARC of {dmarc_result.domain} fails, and {who.forwarder} is a forwarder that the customer trusts"
        )
        found.append(Evidence(code="DMARC_FORWARDED", text=text))
    elif dmarc_result.result == "fail":
        text = clean(f"DMARC of {dmarc_result.domain} fails, and the domain asks for p={dmarc_result.policy}")
        code = "DMARC_FAIL" if dmarc_result.policy == "none" else f"DMARC_{dmarc_result.policy.upper()}"
        found.append(Evidence(code=code, text=text, score=_SCORES.get(dmarc_result.policy, 0.5)))
    if who.from_fields > 1:
        found.append(Evidence(code="MULTIPLE_FROM", text=f"{who.from_fields} From fields", score=_BAD_FROM))
    elif dmarc_result.reason:
        found.append(Evidence(code="FROM_UNCLEAR", text=dmarc_result.reason, score=_BAD_FROM))
    if spf_result.result in _SPF_SCORES and dmarc_result.result != "pass" and not who.forwarded:
        text = clean(f"SPF of {spf_result.domain}: {spf_result.result}")
        score = _SPF_SCORES[spf_result.result]
        found.append(Evidence(code=f"SPF_{spf_result.result.upper()}", text=text, score=score))
    failed = [item for item in dkim_results if item.result == "fail"]
    if failed and not who.forwarded and not any(item.result == "pass" for item in dkim_results):
        text = clean(f"DKIM of {failed[0].domain}: {failed[0].reason}")
        found.append(Evidence(code="DKIM_FAIL", text=text, score=0.5))
    return tuple(found)


def _spf_shown(result: spf.Result) -> tuple[str, str]:
    return ("spf", f"{result.result} smtp.{result.identity}={token(result.domain)}" if result.domain else result.result)


def _dkim_shown(results: Sequence[dkim.Result]) -> list[tuple[str, str]]:
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


def _arc_shown(result: arc.Result) -> list[tuple[str, str]]:
    if result.result == "none":
        return []
    # The registry has no temporary error for ARC (RFC 8617 section 10.1): what couldn't be told is no chain.
    shown = "none" if result.result == "temperror" else result.result
    reason = f' reason="{result.reason}"' if result.reason else ""
    sealer = f" header.d={token(result.sealers[-1])}" if result.sealers else ""
    oldest = f" header.oldest-pass={result.oldest_pass}" if result.result == "pass" else ""
    return [("arc", f"{shown}{reason}{sealer}{oldest}")]
