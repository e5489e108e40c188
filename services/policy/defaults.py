"""The rules of a customer who wrote none, and the last rule of everybody."""

from __future__ import annotations

from typing import Final

from schemas.events import Action, Match, Rule, Status

RULES: Final[tuple[Rule, ...]] = (
    Rule(name="virus", when=Match(status=(Status.VIRUS,)), action=Action.QUARANTINE),
    Rule(name="phishing", when=Match(status=(Status.PHISHING,)), action=Action.QUARANTINE),
    Rule(name="spam", when=Match(status=(Status.SPAM,)), action=Action.QUARANTINE),
    Rule(name="dmarc-reject", when=Match(evidence=("DMARC_REJECT",)), action=Action.QUARANTINE),
    # what no scanner is sure of alone and several find odd; signs that two scanners see have points in one
    Rule(name="odd-in-all", when=Match(min_score=15.0), action=Action.QUARANTINE),
    Rule(name="likely-spam", when=Match(min_score=6.0), add_headers=(("X-Spam-Flag", "YES"),)),
)

# What goes out bears the customer's name, and what is signed with it counts against it: nothing is tagged and sent.
OUTBOUND_RULES: Final[tuple[Rule, ...]] = (
    Rule(name="virus", when=Match(status=(Status.VIRUS,)), action=Action.QUARANTINE),
    Rule(name="phishing", when=Match(status=(Status.PHISHING,)), action=Action.QUARANTINE),
    Rule(name="spam", when=Match(status=(Status.SPAM,)), action=Action.QUARANTINE),
    Rule(name="odd-in-all", when=Match(min_score=15.0), action=Action.QUARANTINE),
)

LAST: Final = Rule(name="default", action=Action.DELIVER)
UNSCANNED_HEADER: Final = "X-Gatepost-Unscanned"
