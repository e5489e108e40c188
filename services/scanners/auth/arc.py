"""ARC (RFC 8617): what earlier hosts saw of a message that was changed or forwarded on its way here.

Evaluated with the same code as DKIM: an ARC-Message-Signature is a DKIM signature in all but its name (section 4.1.2).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from services.scanners.auth import dkim
from services.scanners.mime import Field

SETS_MOST: Final = 50  # section 4.2.1: the highest instance
_EVALUATED_MOST: Final = 12  # seals that are verified: each costs a question and a signature
_NAMES: Final = ("arc-authentication-results", "arc-message-signature", "arc-seal")
_INSTANCE: Final = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,3})[ \t\r\n]*(?:;|\Z)")
_COMMENT: Final = re.compile(r"\([^()]{0,500}\)")
_DMARC_PASS: Final = re.compile(r";\s*dmarc\s*=\s*pass\b([^;]*)", re.IGNORECASE)
_FROM: Final = re.compile(r"header\.from\s*=\s*\"?([a-z0-9_.-]+)", re.IGNORECASE)
_SEAL_REQUIRED: Final = (b"a", b"b", b"cv", b"d", b"s")
_MESSAGE_REQUIRED: Final = (b"a", b"b", b"bh", b"d", b"h", b"s")


@dataclasses.dataclass(frozen=True, slots=True)
class Set:
    """The three fields that one host added."""

    results: Field
    message: dkim.Signature
    seal: dkim.Signature


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """The sets, first instance first. `problem`: why there is no valid chain, whatever the keys say."""

    sets: tuple[Set, ...] = ()
    problem: str = ""

    @property
    def key_names(self) -> tuple[str, ...]:
        """Return the names of the keys that evaluating it takes."""
        if self.problem or not self.sets:
            return ()
        return tuple(dict.fromkeys([self.sets[-1].message.key_name, *(item.seal.key_name for item in self.sets)]))


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """`result`: none, pass, fail, or temperror when a key wasn't answered."""

    result: str
    sealers: tuple[str, ...] = ()  # d= of the seals, first to last
    reason: str = ""
    oldest_pass: int = 0  # section 5.2: the first instance whose message signature still verifies, 0 for all


def read(fields: Sequence[Field]) -> Chain:
    """Return the chain that the header holds, by its structure alone (section 5.2 steps 1 to 3)."""
    found: dict[int, dict[str, Field]] = {}
    for field in fields:
        if field.name not in _NAMES:
            continue
        number = _INSTANCE.match(field.value)
        if number is None:
            return Chain(problem="a set without an instance")
        of_instance = found.setdefault(int(number.group(1)), {})
        if field.name in of_instance:
            return Chain(problem="an instance twice")
        of_instance[field.name] = field
    if not found:
        return Chain()
    if len(found) > SETS_MOST or sorted(found) != list(range(1, len(found) + 1)):
        return Chain(problem="instances are missing, or too many")
    if any(len(found[number]) != len(_NAMES) for number in found):
        return Chain(problem="a set is not whole")
    sets = [_set(found[number]) for number in sorted(found)]
    return Chain(tuple(sets), _problem(sets))


def _set(of_instance: Mapping[str, Field]) -> Set:
    results, message, seal = (of_instance[name] for name in _NAMES)
    return Set(results, _signature(message, _MESSAGE_REQUIRED), _signature(seal, _SEAL_REQUIRED))


def _signature(field: Field, required: Sequence[bytes]) -> dkim.Signature:
    tags = dkim.parse_tags(field.value)
    if tags is None:
        return dkim.Signature(field, {}, "tag list can't be read")
    # i= is the instance here; in a DKIM signature it would be an identity.
    tags = {name: value for name, value in tags.items() if name != b"i"}
    missing = [tag for tag in required if not tags.get(tag)]
    if missing:
        return dkim.Signature(field, tags, f"no {missing[0].decode()}=")
    return dkim.Signature(field, tags, dkim.problem_of_names(tags))


def _problem(sets: Sequence[Set]) -> str:  # noqa: PLR0911  # one return a way to be wrong
    if sets[-1].seal.tags.get(b"cv", b"").lower() == b"fail":
        return "an earlier host says that it fails"
    if len(sets) > _EVALUATED_MOST:
        return "too many seals"
    for number, item in enumerate(sets, 1):
        if item.seal.problem or item.message.problem:
            return f"instance {number}: {item.seal.problem or item.message.problem}"
        if b"h" in item.seal.tags:
            return f"instance {number}: a seal with h="  # section 4.1.3
        if item.seal.tags[b"cv"].lower() != (b"none" if number == 1 else b"pass"):
            return f"instance {number}: cv= is not what it must be"
        signed = {name.strip(b" \t\r\n").lower() for name in item.message.tags[b"h"].split(b":")}
        if b"arc-seal" in signed:
            return f"instance {number}: a message signature over seals"
    return ""


def evaluate(chain: Chain, verifier: dkim.Verifier, texts: Callable[[str], list[bytes] | None]) -> Result:
    """Return what the chain is worth (section 5.2 steps 4 to 6); `texts` gives the TXT records that are known."""
    sealers = tuple(item.seal.domain for item in chain.sets)
    if chain.problem or not chain.sets:
        return Result("fail" if chain.problem else "none", sealers, chain.problem)
    newest = chain.sets[-1].message
    outcome = verifier.check(newest, texts(newest.key_name))
    if outcome.result != "pass":
        return _failed(outcome, sealers, f"message signature {len(chain.sets)}")
    for number in range(len(chain.sets), 0, -1):
        seal = chain.sets[number - 1].seal
        outcome = verifier.check_seal(seal, texts(seal.key_name), _sealed(chain.sets[:number]))
        if outcome.result != "pass":
            return _failed(outcome, sealers, f"seal {number}")
    return Result("pass", sealers, oldest_pass=_oldest(chain, verifier, texts))


def _failed(outcome: dkim.Result, sealers: tuple[str, ...], what: str) -> Result:
    kind = "temperror" if outcome.result == "temperror" else "fail"
    return Result(kind, sealers, f"{what}: {outcome.reason}")


def _oldest(chain: Chain, verifier: dkim.Verifier, texts: Callable[[str], list[bytes] | None]) -> int:
    """Return the lowest instance whose message signature verifies with all above it; 0 when the first does."""
    for number in range(len(chain.sets) - 1, 0, -1):
        message = chain.sets[number - 1].message
        if verifier.check(message, texts(message.key_name)).result != "pass":
            return number + 1
    return 0


def _sealed(sets: Sequence[Set]) -> bytes:
    """Return what the last of the sets' seals covers (section 5.1.1): every set before it, and its own."""
    lines: list[bytes] = []
    for item in sets:
        fields = (item.results, item.message.field, item.seal.field)
        lines.extend(dkim.canonical_field(field, b"relaxed") + b"\r\n" for field in fields)
    lines[-1] = dkim.canonical_field(dkim.without_value(sets[-1].seal.field), b"relaxed")
    return b"".join(lines)


def vouches(chain: Chain, result: Result, domain: str, sealers: Collection[str]) -> str:
    """Return the first sealer's name when a passed chain of believed sealers says that DMARC of the domain passed."""
    if result.result != "pass" or not result.sealers or not set(result.sealers) <= set(sealers):
        return ""
    value = chain.sets[0].results.value.decode("latin-1").replace("\r", "").replace("\n", "")
    for found in _DMARC_PASS.finditer(_COMMENT.sub("", value)):
        author = _FROM.search(found.group(1))
        if author is not None and author.group(1).lower() == domain:
            return result.sealers[0]
    return ""
