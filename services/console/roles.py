"""Who may do what. One table: an operation without a line in it can't be called, and a test walks all of it."""

from __future__ import annotations

import enum
from typing import Final


class Role(enum.StrEnum):
    """What somebody is to a customer, or to the whole service."""

    OPERATOR = "operator"  # runs the service: every customer's configuration, nobody's mail
    OWNER = "owner"  # of the customer: everything, other owners and the licence included
    ADMINISTRATOR = "administrator"
    HELPDESK = "helpdesk"  # looks messages up, and sends links for passwords
    AUDITOR = "auditor"  # sees what was done and by whom
    READER = "read-only"  # sees how it is set up


class Act(enum.StrEnum):
    """What can be done. These are the scopes of tokens as well."""

    SELF = "self"  # one's own sessions, password and language
    CUSTOMERS_SHOW = "customers.show"  # of the whole service
    CUSTOMERS_CHANGE = "customers.change"
    CUSTOMER_SHOW = "customer.show"
    CUSTOMER_EXPORT = "customer.export"
    DOMAINS_SHOW = "domains.show"
    DOMAINS_CHANGE = "domains.change"
    DOMAINS_TEST = "domains.test"
    DIRECTORY_SHOW = "directory.show"
    DIRECTORY_CHANGE = "directory.change"
    OUTBOUND_SHOW = "outbound.show"
    OUTBOUND_CHANGE = "outbound.change"
    ACCOUNTS_SHOW = "accounts.show"
    ACCOUNTS_CHANGE = "accounts.change"
    PASSWORDS_RESET = "passwords.reset"  # the name of an act
    USERS_SHOW = "users.show"  # those whose mail it is, and who sign in to the users' console
    USERS_CHANGE = "users.change"
    TOKENS_SHOW = "tokens.show"
    TOKENS_CHANGE = "tokens.change"
    LICENCE_SHOW = "licence.show"
    LICENCE_CHANGE = "licence.change"
    AUDIT_SHOW = "audit.show"
    TRACE_SHOW = "trace.show"
    FIGURES_SHOW = "figures.show"
    QUEUE_SHOW = "queue.show"
    QUEUE_CHANGE = "queue.change"
    HELD_SHOW = "held.show"  # what is in quarantine
    HELD_READ = "held.read"  # what a held message says; the help desk only where the customer says so
    HELD_CHANGE = "held.change"
    REPORTS_SHOW = "reports.show"
    REPORTS_CHANGE = "reports.change"
    SIGNIN_SHOW = "sign-in.show"
    SIGNIN_CHANGE = "sign-in.change"
    POLICIES_SHOW = "policies.show"
    POLICIES_CHANGE = "policies.change"
    POLICIES_TRY = "policies.try"  # on mail that came: it is shown
    SENDERS_SHOW = "senders.show"
    SENDERS_CHANGE = "senders.change"
    SETTINGS_SHOW = "settings.show"  # protection, retention
    SETTINGS_CHANGE = "settings.change"


_ALL: Final = frozenset(Role)
_OF_CUSTOMER: Final = _ALL - {Role.OPERATOR}
_MANAGERS: Final = frozenset({Role.OPERATOR, Role.OWNER, Role.ADMINISTRATOR})

MAY: Final[dict[Act, frozenset[Role]]] = {
    Act.SELF: _ALL,
    Act.CUSTOMERS_SHOW: frozenset({Role.OPERATOR}),
    Act.CUSTOMERS_CHANGE: frozenset({Role.OPERATOR}),
    Act.CUSTOMER_SHOW: _ALL,
    Act.CUSTOMER_EXPORT: _MANAGERS,
    Act.DOMAINS_SHOW: _ALL,
    Act.DOMAINS_CHANGE: _MANAGERS,
    Act.DOMAINS_TEST: _MANAGERS | {Role.HELPDESK},
    Act.DIRECTORY_SHOW: _ALL,
    Act.DIRECTORY_CHANGE: _MANAGERS,
    Act.OUTBOUND_SHOW: _ALL,
    Act.OUTBOUND_CHANGE: _MANAGERS,
    Act.ACCOUNTS_SHOW: _ALL - {Role.READER},
    Act.ACCOUNTS_CHANGE: _MANAGERS,
    Act.PASSWORDS_RESET: _MANAGERS | {Role.HELPDESK},
    Act.USERS_SHOW: _OF_CUSTOMER - {Role.READER},
    Act.USERS_CHANGE: frozenset({Role.OWNER, Role.ADMINISTRATOR}),
    Act.TOKENS_SHOW: _MANAGERS | {Role.AUDITOR},
    Act.TOKENS_CHANGE: _MANAGERS,
    Act.LICENCE_SHOW: _ALL,
    Act.LICENCE_CHANGE: frozenset({Role.OPERATOR, Role.OWNER}),
    Act.AUDIT_SHOW: frozenset({Role.OPERATOR, Role.OWNER, Role.ADMINISTRATOR, Role.AUDITOR}),
    Act.TRACE_SHOW: _OF_CUSTOMER - {Role.READER},
    Act.FIGURES_SHOW: _ALL,
    Act.QUEUE_SHOW: _ALL - {Role.READER},
    Act.QUEUE_CHANGE: _MANAGERS,
    Act.HELD_SHOW: _OF_CUSTOMER - {Role.READER},
    Act.HELD_READ: frozenset({Role.OWNER, Role.ADMINISTRATOR, Role.HELPDESK}),
    Act.HELD_CHANGE: frozenset({Role.OWNER, Role.ADMINISTRATOR, Role.HELPDESK}),
    Act.REPORTS_SHOW: _OF_CUSTOMER - {Role.READER},
    Act.REPORTS_CHANGE: frozenset({Role.OWNER, Role.ADMINISTRATOR}),
    Act.SIGNIN_SHOW: _MANAGERS | {Role.AUDITOR},
    # Not the operator's: a provider of his own would let him in as anybody, and so to what he isn't to see.
    Act.SIGNIN_CHANGE: frozenset({Role.OWNER}),
    Act.POLICIES_SHOW: _ALL,
    Act.POLICIES_CHANGE: _MANAGERS,
    Act.POLICIES_TRY: _MANAGERS - {Role.OPERATOR},
    Act.SENDERS_SHOW: _OF_CUSTOMER - {Role.READER},  # who writes to whom
    Act.SENDERS_CHANGE: _MANAGERS - {Role.OPERATOR},
    Act.SETTINGS_SHOW: _ALL,
    Act.SETTINGS_CHANGE: _MANAGERS,
}

# What can be asked for by an account that is limited to domains: the rest concerns all of the customer.
OF_DOMAINS: Final = frozenset(
    {
        Act.SELF,
        Act.CUSTOMER_SHOW,
        Act.CUSTOMER_EXPORT,
        Act.DOMAINS_SHOW,
        Act.DOMAINS_CHANGE,
        Act.DOMAINS_TEST,
        Act.ACCOUNTS_SHOW,
        Act.ACCOUNTS_CHANGE,
        Act.PASSWORDS_RESET,
        Act.TOKENS_SHOW,
        Act.TOKENS_CHANGE,
        Act.LICENCE_SHOW,
        Act.AUDIT_SHOW,
        Act.TRACE_SHOW,
        Act.HELD_SHOW,
        Act.HELD_READ,
        Act.HELD_CHANGE,
        Act.USERS_SHOW,
        Act.USERS_CHANGE,
        Act.POLICIES_SHOW,
        Act.POLICIES_CHANGE,
        Act.POLICIES_TRY,
        Act.SENDERS_SHOW,
        Act.SENDERS_CHANGE,
        Act.OUTBOUND_SHOW,
        Act.OUTBOUND_CHANGE,
    }
)

# What stays when a customer's licence has lapsed: renewal, and leaving.
RENEWAL: Final = frozenset({Act.SELF, Act.CUSTOMER_SHOW, Act.LICENCE_SHOW, Act.LICENCE_CHANGE, Act.CUSTOMER_EXPORT})

_RANK: Final = {
    Role.OPERATOR: 4,
    Role.OWNER: 3,
    Role.ADMINISTRATOR: 2,
    Role.HELPDESK: 1,
    Role.AUDITOR: 1,
    Role.READER: 0,
}


def may(role: Role, act: Act) -> bool:
    """Return whether the role may do it."""
    return role in MAY[act]


def may_manage(role: Role, other: Role) -> bool:
    """Return whether the role may make, change or reset an account of the other role: never one above its own."""
    return _RANK[role] >= _RANK[other] and (other is not Role.OPERATOR or role is Role.OPERATOR)


def acts_of(role: Role) -> frozenset[Act]:
    """Return everything that the role may do."""
    return frozenset(act for act, roles in MAY.items() if role in roles)
