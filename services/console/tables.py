"""The tables of the console. `migrations/` makes them; a test holds the two together.

Every row but an operator's belongs to a customer, and every statement that reads rows for somebody names the customer.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData()

CUSTOMERS: Final = Table(
    "console_customers",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("settings", Text, nullable=False),  # the Customer event as JSON, without domains
    Column("region", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("version", Integer, nullable=False),  # counts changes: who changes it holds its row until he is done
    Column("made_at", Double, nullable=False),
    Column("trial_until", Double, nullable=False),
    Column("paid_until", Double, nullable=False),  # 0: on trial
    Column("users", Integer, nullable=False),  # that are paid for; 0: not counted
    Column("licence", Text, nullable=False),  # the id of the key that is in force; empty: none yet
    Column("second_factor", Integer, nullable=False, server_default="0"),  # 1: nobody gets further without one
)

DOMAINS: Final = Table(
    "console_domains",
    METADATA,
    Column("name", Text, primary_key=True),  # one customer's at a time, for it decides where mail goes
    Column("customer", Text, ForeignKey("console_customers.id"), nullable=False),
    Column("place", Integer, nullable=False),  # among the customer's domains
    Column("spec", Text, nullable=False),  # the Domain of the event as JSON
    Column("made_at", Double, nullable=False),
    Index("console_domains_of_customer", "customer", "place"),
)

CLAIMS: Final = Table(
    "console_claims",
    METADATA,
    Column("customer", Text, ForeignKey("console_customers.id"), primary_key=True),
    Column("name", Text, primary_key=True),  # several may claim a name; who proves it first has it
    Column("proof", Text, nullable=False),  # what the TXT record must say
    Column("made_at", Double, nullable=False),
)

RECIPIENTS: Final = Table(
    "console_recipients",
    METADATA,
    Column("customer", Text, ForeignKey("console_customers.id"), primary_key=True),
    Column("address", Text, primary_key=True),  # canonical
    Column("groups", Text, nullable=False, server_default=""),  # names as rules write them, with commas between
)

ACCOUNTS: Final = Table(
    "console_accounts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("customer", Text, nullable=False),  # empty: an operator
    Column("address", Text, nullable=False, unique=True),  # canonical; one account an address, whoever's it is
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("password", Text, nullable=False),  # argon2's own form; empty: none yet
    Column("made_at", Double, nullable=False),
    Column("closed_at", Double, nullable=False),  # 0 while it may log in
    Column("domains", Text, nullable=False, server_default=""),  # that it is limited to, one a line; empty: all
    Index("console_accounts_of_customer", "customer", "address"),
)

LINKS: Final = Table(
    "console_links",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),  # SHA-256 of the secret
    Column("account", Text, ForeignKey("console_accounts.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),  # 0 while it is good
    Index("console_links_of_account", "account"),
)

SESSIONS: Final = Table(
    "console_sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("account", Text, ForeignKey("console_accounts.id"), nullable=False),
    Column("made_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("client", Text, nullable=False),  # the address that it was begun from
    Column("agent", Text, nullable=False),  # what its browser calls itself
    Column("strong", Integer, nullable=False, server_default="0"),  # 1: more than a password began it
    Index("console_sessions_of_account", "account"),
)

TOKENS: Final = Table(
    "console_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("customer", Text, nullable=False),  # empty: the whole service
    Column("account", Text, ForeignKey("console_accounts.id"), nullable=False),  # whose role is the most it may do
    Column("label", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # acts, one a line
    Column("made_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double, nullable=False),  # 0 while it is good
    Column("used_at", Double, nullable=False, server_default="0"),  # last, to the minute; 0: never
    Index("console_tokens_of_customer", "customer", "id"),
)

AUDIT: Final = Table(
    "console_audit",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("customer", Text, nullable=False),  # empty: what concerns the whole service
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("client", Text, nullable=False),  # the address it was asked from; empty: the command line
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", Text, nullable=False),  # JSON; empty: there was nothing
    Column("after", Text, nullable=False),  # JSON; empty: there is nothing
    Index("console_audit_of_customer", "customer", "id"),
)

OUTBOX: Final = Table(
    "console_outbox",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("lane", Text, nullable=False),  # topics, mail: neither waits for the other
    Column("topic", Text, nullable=False),  # or the kind of mail
    Column("key", Text, nullable=False),
    Column("payload", Text, nullable=False),  # the event, or what a mail is about, as JSON; empty: a tombstone
    Column("made_at", Double, nullable=False),
    Index("console_outbox_lane", "lane", "id"),
)

LEASES: Final = Table(
    "console_leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Double, nullable=False),
)

FAILURES: Final = Table(
    "console_failures",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False),  # the hash of who tried, or of what was tried
    Column("at", Double, nullable=False),
    Index("console_failures_of_key", "key", "at"),
)

REPORTS: Final = Table(
    "console_reports",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("customer", Text, ForeignKey("console_customers.id"), nullable=False),
    Column("account", Text, ForeignKey("console_accounts.id"), nullable=False),  # who gets it
    Column("period", Text, nullable=False),  # daily, weekly, monthly
    Column("made_at", Double, nullable=False),
    Column("until", Double, nullable=False),  # the end of the last period that it was ordered for
    Index("console_reports_of_customer", "customer", "id"),
    Index("console_reports_due", "period", "until"),
)

CENSUS: Final = Table(
    "console_census",
    METADATA,
    Column("customer", Text, ForeignKey("console_customers.id"), primary_key=True),
    Column("users", Integer, nullable=False),  # that the directory has, without aliases
    Column("at", Double, nullable=False),  # when they were counted
)

PURGES: Final = Table(
    "console_purges",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("customer", Text, nullable=False, unique=True),  # an id is never given again
    Column("name", Text, nullable=False),
    Column("lapsed_at", Double, nullable=False),
    Column("begun_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),  # 0 while it is under way
    Column("counts", Text, nullable=False),  # JSON: what was deleted so far
    Column("certificate", Text, nullable=False),  # JSON, signed; empty while it is under way
)

SIGNUPS: Final = Table(
    "console_signups",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),  # SHA-256 of the link's secret; empty until its mail is written
    Column("customer", Text, nullable=False),  # the id that is wanted
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),  # canonical
    Column("region", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),  # 0 while it is good
    Index("console_signups_of_address", "address", "expires_at"),
)

PROOFS: Final = Table(
    "console_proofs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),  # of the link's secret; empty until its mail is written
    Column("customer", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("address", Text, nullable=False),  # at the domain: who reads it there may speak for it
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),  # 0 while it is good
    Index("console_proofs_of_domain", "customer", "domain"),
)

# What waited for MTAs. The topics say only what waits now, so nothing can make these rows again.
DEPTHS: Final = Table(
    "console_queue_depths",
    METADATA,
    Column("customer", Text, primary_key=True),  # tally.EVERYBODY: the whole service
    Column("hour", Integer, primary_key=True),  # since the epoch, UTC
    Column("most", Integer, nullable=False),  # messages that waited at once
    Column("waited", Double, nullable=False),  # seconds that the oldest of them had waited
    Index("console_queue_depths_hour", "hour"),  # what is too old goes by it
)

DRAFTS: Final = Table(
    "console_drafts",
    METADATA,
    Column("customer", Text, ForeignKey("console_customers.id"), primary_key=True),
    Column("name", Text, primary_key=True),  # of a directory that is written down and not used yet, or not like this
    Column("spec", Text, nullable=False),  # the LdapSource of the event as JSON; its password is sealed
    Column("made_at", Double, nullable=False),
)

UPLOADS: Final = Table(
    "console_uploads",
    METADATA,
    Column("customer", Text, ForeignKey("console_customers.id"), primary_key=True),
    Column("addresses", Text, nullable=False),  # one a line, groups behind a tab: a list that waits to be applied
    Column("made_at", Double, nullable=False),
)

# --- ways in beside the password

TOTP: Final = Table(
    "console_totp",
    METADATA,
    Column("account", Text, ForeignKey("console_accounts.id"), primary_key=True),
    Column("seed", Text, nullable=False),  # sealed
    Column("confirmed_at", Double, nullable=False),  # 0: shown, and not used yet
    Column("last_step", Integer, nullable=False),  # of the last code that was taken: none up to it is taken again
)

RECOVERY: Final = Table(
    "console_recovery",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),  # SHA-256 of the code; a code that was used is gone
    Column("account", Text, ForeignKey("console_accounts.id"), nullable=False),
    Index("console_recovery_of_account", "account"),
)

PASSKEYS: Final = Table(
    "console_passkeys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("account", Text, ForeignKey("console_accounts.id"), nullable=False),
    Column("credential", LargeBinary, nullable=False, unique=True),  # the id that its authenticator knows it by
    Column("public_key", LargeBinary, nullable=False),  # COSE
    Column("sign_count", BigInteger, nullable=False),  # that its authenticator told last
    Column("label", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),  # 0: never
    Index("console_passkeys_of_account", "account"),
)

# What somebody who is on the way in has done already: his cookie has the secret, and each is good once.
STEPS: Final = Table(
    "console_steps",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account", Text, nullable=False),  # empty: not known yet
    Column("payload", Text, nullable=False),  # JSON
    Column("expires_at", Double, nullable=False),
    Index("console_steps_of_account", "account"),
    Index("console_steps_by_end", "expires_at"),
)

SIGNON: Final = Table(
    "console_signon",
    METADATA,
    Column("customer", Text, ForeignKey("console_customers.id"), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("client", Text, nullable=False),  # the id that the provider knows us by
    Column("secret", Text, nullable=False),  # sealed
    Column("role", Text, nullable=False),  # of accounts that are made at the first sign-in; empty: none are made
    Column(
        "users", Text, nullable=False, server_default=""
    ),  # which users come in by it: see models_signin.UsersSignOn
    Column("users_secret", Text, nullable=False, server_default=""),  # the secret, sealed by the users' key
)
