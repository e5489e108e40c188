"""What goes over the API: the pages are given the same."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.console.licence import State
from services.console.roles import Act, Role
from services.core.customer_outbound import MESSAGES_MOST

Short = Annotated[str, Field(max_length=320)]
Language = Literal["en", "it"]
Attribute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,100}$")]
Limits = Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=200)]  # domains


class Strict(BaseModel):
    """A body: what isn't known is refused."""

    model_config = ConfigDict(extra="forbid")


class Trial(BaseModel):
    """What a trial is limited to."""

    recipients: list[str]  # addresses, or @domain: others' mail passes untouched; empty: everybody's is filtered
    hourly: int  # of these recipients in an hour; 0: no limit


class TrialScope(Strict):
    """Whose mail a trial filters: addresses, or @domain; none: everybody's."""

    recipients: Annotated[list[Short], Field(max_length=100)]


class NewTrial(Strict):
    """Somebody who signs up."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    address: Short
    language: Language = "en"
    region: Annotated[str, Field(max_length=63)] = ""


class ProofMail(Strict):
    """Where at a domain a link is sent (RFC 2142)."""

    local: Literal["postmaster", "admin", "administrator", "hostmaster", "webmaster"] = "postmaster"


class Licence(BaseModel):
    """Where a customer stands. Times are seconds since the epoch."""

    state: State
    trial_until: float
    paid_until: float  # 0: never paid
    users: int  # that it is for; 0: for any number
    counted: int  # that the directory has, aliases not counted; 0: none, or not counted yet
    over: int  # how many more than it is for
    trial: Trial | None  # what a trial is limited to; null for who has paid
    changes_at: float | None  # when the state changes next
    days_left: int


class Customer(BaseModel):
    """A customer."""

    id: str
    name: str
    region: str
    language: str
    made_at: float
    domains: int
    licence: Licence


class Customers(BaseModel):
    """Customers by id; `after` is where the next page begins, empty at the end."""

    customers: list[Customer]
    after: str


class NewCustomer(Strict):
    """A customer and its first owner, who is sent an invitation."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
    name: Annotated[str, Field(max_length=200)] = ""
    owner: Short
    language: Language = "en"
    region: Annotated[str, Field(max_length=63)] = ""


class Relay(Strict):
    """One MTA of a domain."""

    host: Annotated[str, Field(min_length=1, max_length=255)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 25
    preference: Annotated[int, Field(ge=0, le=65_535)] = 10
    lookup: Literal["", "mx", "srv"] = ""
    tls: Literal["", "opportunistic", "none", "required", "verified", "pinned"] = ""  # pinned: where it is so already


class Domain(BaseModel):
    """A domain, or a claim to one that is not proved yet."""

    name: str
    proved: bool
    record: str  # the name of the TXT record that proves it
    proof: str  # and what it must say
    relay: list[Relay]
    any_recipient: bool
    live: bool  # mail to it is taken


class Domains(BaseModel):
    """Every domain of a customer."""

    domains: list[Domain]


class NewDomain(Strict):
    """A domain to take mail for."""

    name: Annotated[str, Field(min_length=1, max_length=255)]


class Routing(Strict):
    """Where a domain's mail goes, and whether every recipient is taken or only those that the directory has."""

    relay: Annotated[list[Relay], Field(min_length=1, max_length=20)]
    any_recipient: bool = True


class Test(Strict):
    """A delivery test."""

    recipient: Short = ""  # empty: postmaster at the domain
    host: Annotated[int, Field(ge=0, le=19)] = 0  # which of the domain's hosts
    through: Literal["relay", "mx"] = "relay"  # to that host, or where the MX records say, as anybody's mail would go


class DialogueLine(BaseModel):
    """One line: `*` what was done, `>` what was said, `<` what the host answered."""

    mark: str
    text: str


class Dialogue(BaseModel):
    """An SMTP dialogue."""

    good: bool
    lines: list[DialogueLine]


class Mx(BaseModel):
    """What a domain's MX records are to say, and what they say now."""

    wanted: list[str]
    found: list[str] | None  # None: there was no answer
    right: bool
    networks: list[str]  # to let through firewall and MTA


class LdapState(BaseModel):
    """How the syncs of a directory go. Times are seconds since the epoch."""

    tried_at: float
    succeeded_at: float  # 0: never
    problem: str  # of the last one
    entries: int
    addresses: int
    added: int  # by the last one
    removed: int


class Ldap(BaseModel):
    """A directory that recipients are read from."""

    name: str
    url: str
    base: str
    filter: str
    attributes: list[str]
    groups: list[str]
    bind_dn: str
    has_password: bool
    every_minutes: float
    drafted: bool  # written down like this or otherwise, and not used so yet
    state: LdapState | None  # null: not read yet


class Directories(BaseModel):
    """Where a customer's recipients come from."""

    directories: list[Ldap]
    listed: int  # addresses of the list
    upload: CsvPreview | None  # a list that waits to be applied


class LdapSettings(Strict):
    """How a directory is read."""

    url: Annotated[str, Field(max_length=300)]  # ldaps://HOST[:PORT], or ldap://HOST[:PORT] with StartTLS
    base: Annotated[str, Field(min_length=1, max_length=1_000)]
    filter: Annotated[str, Field(max_length=2_000)] = ""
    attributes: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,100}$")]], Field(max_length=20)
    ] = []
    groups: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=500)] = []  # of which rules may say
    bind_dn: Annotated[str, Field(max_length=1_000)] = ""
    password: Annotated[str, Field(max_length=1_000)] = ""  # empty: the one that is kept, for the same server and name
    every_minutes: Annotated[float, Field(ge=1, le=1_440)] = 15.0


class GroupChange(BaseModel):
    """A group of a directory's, and how many addresses it has and would have."""

    name: str  # as rules write it, behind directory:
    before: int
    after: int


class LdapPreview(BaseModel):
    """What a directory says, and what using it would change."""

    good: bool
    problem: str = ""
    entries: int = 0
    users: int = 0  # entries with an address in the customer's domains
    addresses: int = 0
    foreign: int = 0  # in other domains
    unreadable: int = 0
    added: int = 0
    removed: int = 0
    sample: list[str] = []  # of those that would come
    groups: list[GroupChange] = []


class Csv(Strict):
    """A list of recipients: an address a row, or a column that the header names."""

    csv: Annotated[str, Field(max_length=4_194_304)]


class CsvPreview(BaseModel):
    """What applying a list would change."""

    addresses: int
    added: int
    removed: int
    new: list[str]  # some of them
    gone: list[str]
    drops: bool  # so many would go that it takes a word
    groups: list[GroupChange]


class CsvApply(Strict):
    """Apply the list that was uploaded."""

    force: bool = False


class KeptName(BaseModel):
    """A customer that a file keeps."""

    id: str
    name: str


class KeptCustomers(BaseModel):
    """All of them."""

    customers: list[KeptName]


class KeptCustomer(KeptName):
    """One of them as the customers file has it."""

    yaml: str
    listed: bool  # it lists recipients by address: these are in the file alone


class ClientCertificate(BaseModel):
    """What a customer's MTA may show in TLS to be known by."""

    id: str  # the SHA-256 in hex
    subject: str
    ends_at: float
    names: list[str]  # that have to be in the MTA's, which this one of a CA vouches for; none: it is the MTA's own


class NewCertificate(Strict):
    """A certificate by which an MTA is known."""

    certificate: Annotated[str, Field(min_length=1, max_length=20_000)]  # PEM, or the base64 between its lines
    names: Annotated[list[Short], Field(max_length=50)] = []  # the MTAs', where it is a CA's


class Outbound(BaseModel):
    """A customer's outgoing mail."""

    enabled: bool
    trial: bool  # during which it can't be switched on
    host: str  # to send to
    starttls: int  # the port
    tls: int  # the port where TLS comes first
    addresses: list[str]
    accounts: list[str]
    certificates: list[ClientCertificate]
    sender_messages: int  # of one sender in the operator's window, where that is fewer than his; 0: as many
    customer_messages: int  # of all of them, likewise
    keys_here: bool  # signing keys can be made here


class OutboundChange(Strict):
    """What is to change; what is left out stays."""

    enabled: bool | None = None
    addresses: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=1_000)] | None = None
    sender_messages: Annotated[int, Field(ge=0, le=MESSAGES_MOST)] | None = None
    customer_messages: Annotated[int, Field(ge=0, le=MESSAGES_MOST)] | None = None


class NewSubmitter(Strict):
    """An account that signs in to send: an address in one of the customer's domains."""

    name: Short


class MadeSubmitter(BaseModel):
    """The account, and its password, which is shown this once."""

    name: str
    password: str


class SigningKey(BaseModel):
    """A DKIM key."""

    name: str  # of the pair that it belongs to
    record: str  # to be published
    in_use: bool
    said: str  # what DNS says: right, missing, several, wrong, unknown


class OutboundRecords(BaseModel):
    """What a domain's DNS is to say, and does; in `spf` and `dmarc` as in SigningKey.said."""

    domain: str
    spf_wanted: str  # terms of its SPF record
    spf: str
    dmarc_wanted: str  # where there is none yet
    dmarc: str
    dmarc_policy: str
    keys: list[SigningKey]


class KeyName(Strict):
    """The name of a pair of signing keys."""

    name: Annotated[str, Field(pattern=r"^gp[12]$")]


class Account(BaseModel):
    """Somebody who may log in."""

    id: str
    address: str
    name: str
    role: Role
    language: str
    active: bool  # has a password
    closed: bool
    made_at: float
    domains: list[str]  # that it is limited to; empty: all of the customer's


class Accounts(BaseModel):
    """The accounts of a customer, or of the service's operators."""

    accounts: list[Account]


class NewAccount(Strict):
    """Somebody to invite."""

    address: Short
    name: Annotated[str, Field(max_length=200)] = ""
    role: Role
    language: Language = "en"
    domains: Limits = []  # empty: all that the caller may give


class AccountChange(Strict):
    """What is to be otherwise; what isn't there stays."""

    role: Role | None = None
    closed: bool | None = None
    domains: Limits | None = None


class Session(BaseModel):
    """One of one's own sessions."""

    id: str
    made_at: float
    seen_at: float
    client: str
    agent: str
    this: bool


class Sessions(BaseModel):
    """All of them, the latest first."""

    sessions: list[Session]


class Me(BaseModel):
    """Who asks."""

    account: str
    customer: str
    address: str
    role: Role
    scopes: list[Act]
    domains: list[str]  # that he is limited to; empty: all


class Token(BaseModel):
    """An API token, without its secret."""

    id: str
    label: str
    address: str  # whose it is
    scopes: list[Act]
    made_at: float
    expires_at: float
    used_at: float  # last, to the minute; 0: never
    revoked: bool


class Tokens(BaseModel):
    """The tokens of a customer."""

    tokens: list[Token]


class NewToken(Strict):
    """A token of the caller's own, with some of what he may do."""

    label: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Act], Field(min_length=1, max_length=30)]
    days: Annotated[float, Field(gt=0, le=730)] = 365.0


class MadeToken(BaseModel):
    """A new token: its text is shown this once."""

    id: str
    token: str


class LicenceKey(Strict):
    """A registration key."""

    key: Annotated[str, Field(max_length=2_000)]


class Purge(BaseModel):
    """A customer whose data was deleted after its licence had lapsed. Times are seconds since the epoch."""

    id: str
    of: str  # the customer
    name: str
    lapsed_at: float
    begun_at: float
    ended_at: float  # 0 while it is under way


class Purges(BaseModel):
    """A page of them, the latest first; `after` is where the next page begins, empty at the end."""

    purges: list[Purge]
    after: str


class Certificate(BaseModel):
    """What was deleted of a customer: `text` is signed with Ed25519 (base64)."""

    text: str
    signature: str
    public_key: str


class AuditLine(BaseModel):
    """One change."""

    id: str
    at: float
    by: str
    client: str
    what: str
    subject: str
    before: Any
    after: Any


class AuditLines(BaseModel):
    """Changes, the latest first; `after` is where the next page begins, empty at the end."""

    lines: list[AuditLine]
    after: str


class Traced(BaseModel):
    """A message or a refusal."""

    id: str
    at: float
    sender: str
    subject: str
    client: str
    refused: str
    size: int
    recipients: dict[str, str]  # with where it is for each


class Trace(BaseModel):
    """A page of them, the latest first; `before` is where the next page begins, empty at the end."""

    messages: list[Traced]
    before: str


class Step(BaseModel):
    """One thing that happened to a message."""

    at: float
    what: str
    lines: list[str]


class TracedMessage(BaseModel):
    """A message and what happened to it."""

    message: Traced
    steps: list[Step]


class Yaml(BaseModel):
    """Customers as the customers file has them."""

    yaml: str


class Empty(BaseModel):
    """Done."""

    done: bool = True


class Problem(BaseModel):
    """Why not."""

    detail: str
