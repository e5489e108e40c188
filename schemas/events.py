"""Every event that moves between services: one frozen struct each.

On the wire an event is one JSON object written by orjson. A field may be added when it has a default; nothing else of a
published version changes (`python -m schemas check` holds that). Times are seconds since the epoch, UTC, as floats.
Events carry what a trace needs: never a body, never a subject longer than `SUBJECT_LIMIT`.
"""

from __future__ import annotations

import enum

import msgspec

SUBJECT_LIMIT = 200  # characters of a subject that an event may carry


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The base of all events. Unknown fields are ignored, so that an old reader survives a newer writer."""


# --- what moves a message


class Direction(enum.StrEnum):
    """Which way a message goes, as the customer sees it."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Envelope(Event, frozen=True, kw_only=True):
    """What SMTP said about a message, apart from its content (RFC 5321 section 2.3.1)."""

    reverse_path: str  # empty for the null sender
    recipients: tuple[str, ...]
    client_ip: str
    client_port: int = 0
    helo: str = ""
    esmtp: bool = True
    tls: str | None = None  # version and cipher, None for plain text
    eight_bit: bool = False  # BODY=8BITMIME
    smtputf8: bool = False


class Evidence(Event, frozen=True, kw_only=True):
    """One reason for a score, as a person should read it."""

    code: str  # stable, upper case: what rules refer to
    text: str
    score: float = 0.0


class Received(Event, frozen=True, kw_only=True):
    """A message was accepted: its object is durable under `key`. Topic mail.received.v1, key: id."""

    id: str
    customer: str
    domain: str  # that all recipients belong to: the customer's, or of what goes out anybody's
    key: str
    envelope: Envelope
    size: int  # octets of the message as stored
    received_at: float
    server: str  # the name this service greeted with
    plan: tuple[str, ...]  # scanners that must answer before policy acts
    recovered: bool = False  # published again from the store
    front: tuple[Evidence, ...] = ()  # what the door saw: policy counts it like a scanner's
    bounce_of: str = ""  # the id of the message whose sender this notification of ours (RFC 3464) tells; goes by MX
    connected_at: float = 0.0  # when the client connected; 0 here and below: not known
    mail_at: float = 0.0  # when MAIL was taken
    data_at: float = 0.0  # when the message began to come in; `received_at` is when all of it was there
    subject: str = ""  # at most SUBJECT_LIMIT characters
    message_id: str = ""  # RFC 5322 section 3.6.4, without its angle brackets
    own: str = (
        ""  # what it is when we wrote it: digest, copy, account, bcc, notice. Nothing scans it, and no rule stops it
    )
    direction: Direction = Direction.INBOUND
    submitter: str = ""  # of what goes out, who handed it in: the account, or else the client's address
    part: int = 0  # which of those that one message was split into, by customer and domain; the first is 0


class Rescan(Event, frozen=True, kw_only=True):
    """Policy asks scanners that were unavailable to look again. Topic mail.rescans.v1, key: id."""

    received: Received
    scanners: tuple[str, ...]
    attempt: int
    origin: int  # offset of the Received event in its partition; -1 when the quarantine asks
    asked_at: float
    release: str = ""  # the command that wants it released: the answer is a Rechecked, and policy never hears of it


class Status(enum.StrEnum):
    """What a scanner says of a message."""

    CLEAN = "clean"
    SUSPICIOUS = "suspicious"
    SPAM = "spam"
    PHISHING = "phishing"
    VIRUS = "virus"
    UNAVAILABLE = "unavailable"  # the scanner could not tell; never means clean
    GONE = "gone"  # the object is no longer there: the message ended, or was never accepted


class Verdict(Event, frozen=True, kw_only=True):
    """One scanner's answer on one message, or those of all that a process runs. Topic mail.verdicts.v1, key: id."""

    id: str
    customer: str
    scanner: str
    version: str
    status: Status
    score: float = 0.0
    evidence: tuple[Evidence, ...] = ()
    engine: str = ""  # name and version of what really looked, with its rules' version
    elapsed_ms: float = 0.0
    scanned_at: float
    origin: int  # offset of the Received event in its partition: policy tells late answers from early ones by it
    results: tuple[tuple[str, str], ...] = ()  # method=result pairs for Authentication-Results (RFC 8601)
    reason: str = ""  # why unavailable
    contact: str = ""  # the salted digest of a correspondent to be remembered if the message is delivered as clean
    prints: tuple[str, ...] = ()  # fingerprints that near duplicates share
    files: tuple[str, ...] = ()  # of attachments: endings of names with their dot (.exe), and types by content (zip)
    packed: tuple[str, ...] = ()  # which of these lie in an archive, or where a plain reader would not find them
    also: tuple[Verdict, ...] = ()  # what scanners of the same process said of it at once; they have none themselves

    @property
    def answers(self) -> tuple[Verdict, ...]:
        """Return every scanner's answer that came with this event, each by itself."""
        return (msgspec.structs.replace(self, also=()), *self.also) if self.also else (self,)


class Shadow(Event, frozen=True, kw_only=True):
    """What a scanner that only looks on would have said. Topic mail.shadows.v1, key: verdict.id. Never joined."""

    name: str  # the shadow's: its consumer group is shadow-<name>
    customer: str
    verdict: Verdict
    # What it was told otherwise than the live scanner, GATEPOST_* and value; the value is empty where it may be secret.
    settings: tuple[tuple[str, str], ...] = ()


class Contact(Event, frozen=True, kw_only=True):
    """Somebody wrote to a customer, and policy thought it clean. Topic contacts.v1, key: customer/digest."""

    customer: str
    digest: str  # hex, 64 bits of the HMAC-SHA256 of the address in From under the customer's salt
    at: float


class Sent(Event, frozen=True, kw_only=True):
    """A customer's own message went out: by it replies and bounces are told from others. Topic mail.sent.v1.

    Key: customer/message. Nobody can be read from the digests, 64 bits each under the customer's salt.
    """

    customer: str
    message: str  # hex, of its Message-ID; empty: it had none
    sender: str  # hex, of its reverse-path
    pairs: tuple[str, ...] = ()  # hex, of its reverse-path with each recipient
    at: float


class Action(enum.StrEnum):
    """What policy wants done with a message for some recipients."""

    DELIVER = "deliver"
    QUARANTINE = "quarantine"
    DELETE = "delete"


class Branch(Event, frozen=True, kw_only=True):
    """What happens for some of a message's recipients, and the rule that decided it."""

    recipients: tuple[str, ...]  # as the sender wrote them: outcomes are counted on these
    action: Action
    rule: str
    reason: str
    tag_subject: str = ""
    add_headers: tuple[tuple[str, str], ...] = ()
    redirect_to: str = ""  # deliver to this address instead
    refuse: bool = False  # with delete: delivery ends it as bounced, and the sender is told why
    encrypt: bool = False  # it goes over TLS with a certificate that is verified, or not at all
    bcc: tuple[str, ...] = ()  # who gets a copy of what is delivered, as mail of its own
    notify: tuple[str, ...] = ()  # who is told that the rule applied, as mail of its own
    stamp: str = ""  # what is put below its text
    strip: tuple[str, ...] = ()  # which attachments are taken out of it: see services.core.strip
    packed: tuple[str, ...] = ()  # kinds of these that were found within archives


class Exemption(Event, frozen=True, kw_only=True):
    """Lets one held message through to one recipient, once. `signature` binds it: see services.core.exemption."""

    recipient: str
    policy: str  # the version of the customer's rules that held it
    at: float
    signature: str  # base64url of Ed25519


class Disposition(Event, frozen=True, kw_only=True):
    """Policy has decided. Topic mail.dispositions.v1, key: id."""

    received: Received
    branches: tuple[Branch, ...]
    status: Status  # the worst that a scanner said
    score: float
    evidence: tuple[Evidence, ...] = ()
    auth_results: tuple[tuple[str, str], ...] = ()
    scanners: tuple[str, ...] = ()  # name/version=status of each verdict that was joined
    decided_at: float
    released_by: str = ""  # set when a quarantined message is let go
    release: str = ""  # the id of the command that let it go
    exemptions: tuple[Exemption, ...] = ()  # one for each recipient of a release
    prints: tuple[str, ...] = ()  # fingerprints that near duplicates share
    strangers: int = 0  # of what goes out: recipients with whom nobody of the customer is known to have had mail


class State(enum.StrEnum):
    """A terminal outcome. Each recipient of each accepted message gets exactly one."""

    DELIVERED = "delivered"
    DELETED = "deleted"  # by policy
    BOUNCED = "bounced"  # refused for good by the customer's MTA
    EXPIRED = "expired"  # waited in the queue for as long as promised
    QUARANTINE_DELETED = "quarantine-deleted"
    QUARANTINE_EXPIRED = "quarantine-expired"
    WITHDRAWN = "withdrawn"  # the sender got 451 and the event landed all the same: never accepted


class Outcome(Event, frozen=True, kw_only=True):
    """The end of a message for some recipients. Topic mail.outcomes.v1, key: id."""

    id: str
    customer: str
    key: str
    recipients: tuple[str, ...]
    total: int  # recipients of the message in all: the object goes when they are all done
    state: State
    at: float
    received_at: float
    host: str = ""
    reply: str = ""  # the last answer of the customer's MTA, one line
    tls: str = ""
    attempts: int = 0
    possible_duplicate: bool = False  # the connection was lost after the final dot, or the process that tried it
    bounce: str = ""  # the id of the notification that tells the sender
    direction: Direction = Direction.INBOUND  # the quarantine's own endings don't say, and what they end came in
    own: str = ""  # what it was when we wrote it, as Received.own says it, or bounce
    sender: str = ""  # of what goes out: its reverse-path
    removed: tuple[str, ...] = ()  # names of the attachments that were taken out; one may have none


class Rejection(Event, frozen=True, kw_only=True):
    """A sender or recipient was refused at the door. Topic mail.rejections.v1, key: client_ip."""

    client_ip: str
    at: float
    reason: str  # a stable code, such as unknown-recipient
    reply: str
    helo: str = ""
    reverse_path: str = ""
    recipient: str = ""
    customer: str = ""
    client_port: int = 0
    connected_at: float = 0.0  # with address and port: which connection it was; 0: not known
    evidence: tuple[Evidence, ...] = ()  # what was held against the client, where the reason alone doesn't say it


# --- tables: the last event of a key counts


class Deferred(Event, frozen=True, kw_only=True):
    """A message that waits for the customer's MTA. Topic mail.deferred.v1 (compacted), key: id/[release/]branch."""

    disposition: Disposition
    branch: int  # which of the disposition's branches
    recipients: tuple[str, ...]  # those that still wait
    attempts: int
    since: float
    next_at: float
    reply: str
    possible_duplicate: bool = False
    under_way: bool = False  # an attempt began: found so by the next owner, the message may have arrived
    warned: bool = False  # the sender was told of the delay
    tried_at: float = 0.0  # when the last attempt ended; 0: there was none, or it is not known
    host: str = ""  # that gave the reply


class Pending(Event, frozen=True, kw_only=True):
    """A message for which policy waits for verdicts. Topic policy.pending.v1 (compacted), key: id."""

    id: str
    received: Received | None = None  # None when a verdict came before it
    origin: int = -1
    verdicts: tuple[Verdict, ...] = ()
    attempt: int = 0
    rescan_at: float = 0.0


class Greylisted(Event, frozen=True, kw_only=True):
    """A client, sender and recipient that were seen together. Topic greylist.v1 (compacted), key: digest."""

    digest: str  # hex SHA-256: neither sender nor recipient can be read from it
    first_at: float
    passed_at: float = 0.0  # when it came back in time; 0: not yet


class Departed(Event, frozen=True, kw_only=True):
    """How much of a message with several outcomes is done. Topic mail.departed.v1 (compacted), key: id."""

    id: str
    key: str
    total: int
    recipients: tuple[str, ...]


class Moved(Event, frozen=True, kw_only=True):
    """The quarantine has its own, encrypted copy for these recipients. Topic mail.moved.v1, key: id.

    The object under `key` is no longer kept for them.
    """

    id: str
    customer: str
    key: str  # of the object as it was received
    sealed: str  # of the encrypted one
    recipients: tuple[str, ...]
    total: int  # recipients of the message in all
    at: float
    expires_at: float


class Rechecked(Event, frozen=True, kw_only=True):
    """A scanner looked once more at what is to be released. Topic quarantine.rechecks.v1, key: id."""

    id: str
    customer: str
    release: str  # the command that asked
    scanner: str
    status: Status
    text: str = ""  # what it found, or why it could not tell
    at: float


class HeldFor(Event, frozen=True, kw_only=True):
    """Where a held message is for one recipient."""

    recipient: str
    branch: Branch  # without recipients
    rule: str
    reason: str
    state: str
    held_at: float
    expires_at: float
    ended_at: float = 0.0
    ended_by: str = ""
    command: str = ""
    note: str = ""
    reported: str = ""
    final: str = ""  # the outcome of a release


class Hold(Event, frozen=True, kw_only=True):
    """All that the quarantine's index knows of a message. Topic quarantine.holds.v1 (compacted), key: id."""

    id: str
    disposition: Disposition
    subject: str
    header_from: str
    key: str
    policy: str  # the version of the rules that held it
    status: Status
    score: float
    recipients: tuple[HeldFor, ...]


class Command(enum.StrEnum):
    """How a person ends a hold."""

    RELEASE = "release"
    DELETE = "delete"


class Act(enum.StrEnum):
    """What else a person, or a late finding, may ask of the quarantine: the message stays held."""

    RELEASE_TO = "release-to"  # to somebody else, as an attachment
    REPORT_CLEAN = "report-clean"
    REPORT_SPAM = "report-spam"
    RAISE = "raise"  # something was learnt of it since: its status becomes worse, never better


class QuarantineCommand(Event, frozen=True, kw_only=True):
    """Somebody acts on a held message. Topic quarantine.commands.v1, key: id."""

    command_id: str
    id: str
    customer: str
    action: Command
    recipients: tuple[str, ...] = ()  # empty: all that are held
    by: str
    at: float


class Order(enum.StrEnum):
    """What a person may ask of delivery."""

    FLUSH = "flush"
    HOLD = "hold"
    RESUME = "resume"
    FAIL = "fail"


class QueueCommand(Event, frozen=True, kw_only=True):
    """Somebody acts on what waits. Topic delivery.commands.v1, key: command_id. Every delivery process reads all.

    It means the message where there is one, else the destination; both are the customer's.
    """

    command_id: str
    action: Order
    customer: str
    destination: str = ""  # as QueueState names it
    message: str = ""  # the id
    by: str
    why: str
    at: float


class QueueState(Event, frozen=True, kw_only=True):
    """How one delivery process sees a destination. Topic delivery.queues.v1 (compacted).

    Key: customer/destination/owner. It is published again while anything waits; one that is old was left by a process
    that is gone.
    """

    customer: str
    destination: str  # host:port,… as configured
    owner: str  # the lowest partition of the process
    state: str  # open, slow or down
    depth: int
    oldest: float = 0.0  # when the message that waits longest began to; 0: none waits
    connections: int = 0
    limit: int = 0  # of connections, at present
    reply: str = ""  # the last answer, one line
    replied_at: float = 0.0
    probe_at: float = 0.0  # when it is next asked whether it is up; 0: it is
    held_by: str = ""
    held_why: str = ""
    at: float


class TlsFailure(Event, frozen=True, kw_only=True):
    """Sessions that did not come through TLS as they should."""

    result: str  # RFC 8460 section 4.3
    host: str  # of the MX record
    reason: str = ""
    count: int


class TlsResults(Event, frozen=True, kw_only=True):
    """How sessions with a domain's MX hosts went on a day, as one process saw it. Topic delivery.tls.v1.

    Key: domain/day/owner/policy. Each has all that the process counted of that day. The owner `reported` says that the
    domain has been told of the day, or doesn't want to be.
    """

    domain: str  # whose policy it is
    day: str  # UTC, as 2026-11-29
    owner: str  # one start of one process
    policy: str = ""  # sts, tlsa or no-policy-found
    strings: tuple[str, ...] = ()  # what the policy says
    successes: int = 0
    failures: tuple[TlsFailure, ...] = ()
    at: float


class QuarantineRequest(Event, frozen=True, kw_only=True):
    """Somebody asks something of a message that is held. Topic quarantine.requests.v1, key: id."""

    request_id: str
    id: str
    customer: str
    act: Act
    recipients: tuple[str, ...] = ()  # empty: all that are held
    by: str
    at: float
    to: str = ""  # with release-to: who gets it
    status: Status | None = None  # with raise
    note: str = ""  # with raise: why
    wanted: bool = False  # with report-clean: whoever reports it may not release it himself, and asks for its release


class Audit(Event, frozen=True, kw_only=True):
    """Somebody changed what guards the mail, or looked at it. Topic audit.v1, key: customer. Kept for auditors."""

    customer: str  # empty: the installation
    what: str  # a stable code, such as key-destroyed
    subject: str = ""  # on what; never an address
    by: str
    at: float


# --- what the operator configures


class Match(Event, frozen=True, kw_only=True):
    """When a rule applies: every condition that is set must hold."""

    status: tuple[Status, ...] = ()  # any scanner said one of these
    scanner: str = ""  # narrows `status`, `min_score` and `evidence` to one scanner
    min_score: float | None = None
    evidence: tuple[str, ...] = ()  # any of these codes
    recipients: tuple[str, ...] = ()  # addresses, @domain, or group:NAME
    senders: tuple[str, ...] = ()  # reverse-path addresses, or @domain
    min_size: int | None = None  # octets of the message as stored
    max_size: int | None = None
    auth: tuple[str, ...] = ()  # any of these, as method=result (RFC 8601): dmarc=fail
    attachments: tuple[str, ...] = ()  # any of these, as `Verdict.files` has them


class Rule(Event, frozen=True, kw_only=True):
    """One line of a customer's policy. The first rule whose action ends the matter wins; tags and headers add up."""

    name: str
    when: Match = Match()
    action: Action | None = None  # None: only tags, headers or redirects, and the next rule is looked at
    tag_subject: str = ""
    add_headers: tuple[tuple[str, str], ...] = ()
    redirect_to: str = ""
    refuse: bool = False  # as in Branch; so is the next
    encrypt: bool = False
    bcc: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    stamp: str = ""
    off: bool = False  # kept, and passed over
    strip: tuple[str, ...] = ()  # as in Branch


class Group(Event, frozen=True, kw_only=True):
    """Recipients of a customer's that its rules name together."""

    name: str
    members: tuple[str, ...]  # addresses, or @domain


class Host(Event, frozen=True, kw_only=True):
    """One of the customer's MTAs, or a name whose records say which they are. Lower preference is tried first."""

    host: str
    port: int = 25
    preference: int = 10
    lookup: str = ""  # empty: the host's own addresses; mx, srv: what those records of the name list
    tls: str = ""  # empty: opportunistic; none, required, verified, pinned
    ca_file: str = ""  # with pinned: the file in delivery's folder of certificates


class Domain(Event, frozen=True, kw_only=True):
    """A domain that Gatepost takes mail for, and where that mail goes."""

    name: str  # lower case, A-labels
    relay: tuple[Host, ...]
    any_recipient: bool = False


class LdapSource(Event, frozen=True, kw_only=True):
    """A directory that a customer's recipients are read from. Secrets are named here, never held."""

    name: str = "ldap"  # part of the key of what is read from it
    url: str  # ldaps://HOST[:PORT], or ldap://HOST[:PORT] with StartTLS (RFC 4513)
    base: str  # the DN under which to look
    filter: str = ""  # RFC 4515; empty: every entry with a mail attribute
    attributes: tuple[str, ...] = ()  # that hold addresses; empty: the usual ones
    groups: tuple[str, ...] = ()  # names of groups whose members rules may mean, as they write them; *: all
    bind_dn: str = ""  # empty: anonymous
    password_env: str = ""  # the variable of the directory service that holds the password
    password_file: str = ""  # or the file in its folder of secrets
    password_sealed: str = ""  # or itself, sealed by the console's master key for this server and bind_dn alone
    public: bool = False  # only a server at a public address is read
    ca_file: str = ""  # the file in that folder with the certificates to trust; empty: the machine's
    plain: bool = False  # without TLS, and then only on loopback
    interval_seconds: float = 900.0
    full_every: int = 24  # every so many syncs read everything instead of what changed
    drop_share: float = 0.2  # a sync that would take away more than this of the addresses is refused


class Person(Event, frozen=True, kw_only=True):
    """Somebody whose name a stranger might use: the head of the house, who pays the bills."""

    name: str  # as it is written in full; its order, case and accents don't matter
    addresses: tuple[str, ...] = ()  # other addresses that the person does write from


class Brand(Event, frozen=True, kw_only=True):
    """A name that only its own domains may use."""

    name: str
    domains: tuple[str, ...]


class Protect(Event, frozen=True, kw_only=True):
    """Whom somebody who deceives this customer would pretend to be."""

    persons: tuple[Person, ...] = ()
    partners: tuple[str, ...] = ()  # domains of others, lower case, A-labels
    brands: tuple[Brand, ...] = ()
    allowed: tuple[str, ...] = ()  # domains that look like one of the customer's, a partner's or a brand's and may


class Account(Event, frozen=True, kw_only=True):
    """Who may hand in mail after SMTP AUTH (RFC 4954)."""

    name: str  # an address in one of the customer's domains, lower case
    password: str  # its Argon2id hash as a PHC string; the password itself is nowhere
    domains: tuple[str, ...] = ()  # of the customer's, that it sends for; empty: all


class ClientCertificate(Event, frozen=True, kw_only=True):
    """What a customer's MTA may show in TLS to be known by."""

    der: str  # base64; with `names` the CA's that vouches for them, else the MTA's own
    names: tuple[str, ...] = ()  # one of them has to be in the certificate (subjectAltName)


class DataRule(Event, frozen=True, kw_only=True):
    """What must not leave a customer unseen, and what is done when it would. Any of what is named counts."""

    name: str  # [a-z0-9-]; evidence has the code DLP_NAME
    then: str  # block, quarantine, encrypt, copy
    numbers: tuple[str, ...] = ()  # kinds of numbers with a check digit
    patterns: tuple[str, ...] = ()  # RE2
    words: tuple[str, ...] = ()  # words and phrases, whatever their case
    files: tuple[str, ...] = ()  # hex SHA-256
    unread: bool = False  # what can't be looked into: encrypted, broken, too much
    at_least: int = 1  # different ones
    senders: tuple[str, ...] = ()  # as in Match
    recipients: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()  # addresses in the customer's domains


class Disclaimer(Event, frozen=True, kw_only=True):
    """What a customer has put under all that it sends."""

    text: str = ""  # empty: there is none
    html: str = ""  # empty: the text


class Outbound(Event, frozen=True, kw_only=True):
    """Who may send for a customer, and what is done with that mail."""

    enabled: bool = False
    addresses: tuple[str, ...] = ()  # addresses and networks of its MTAs: they need no password
    accounts: tuple[Account, ...] = ()
    certificates: tuple[ClientCertificate, ...] = ()
    rules: tuple[Rule, ...] = ()  # as `Customer.rules`, for what goes out
    data_loss: tuple[DataRule, ...] = ()  # before `rules`
    notify: tuple[str, ...] = ()  # who is told what was stopped and who is held; empty: the postmaster of the domain
    disclaimer: Disclaimer = Disclaimer()
    pool: str = ""  # the class of customers whose source addresses it has; empty: the default's
    sender_messages: int = 0  # of one reverse-path in the operator's window, where that is fewer than his; 0: as many
    customer_messages: int = 0  # of all of them, likewise


class DigestPlan(Event, frozen=True, kw_only=True):
    """When and how a customer's recipients hear what is held for them."""

    hours: tuple[int, ...] = ()  # of the day in `timezone`; empty: never
    timezone: str = "UTC"
    language: str = "en"  # en, it


class Trial(Event, frozen=True, kw_only=True):
    """What a customer who hasn't paid yet tries."""

    recipients: tuple[str, ...] = ()  # addresses in lower case, or @domain: others' mail passes; empty: everybody's
    hourly: int = 0  # recipients of these that one door takes in an hour; 0: any number


class Customer(Event, frozen=True, kw_only=True):
    """A customer as the mail path needs it. Topic customers.v1 (compacted), key: id."""

    id: str
    name: str = ""
    domains: tuple[Domain, ...] = ()
    rules: tuple[Rule, ...] = ()
    salt: str = ""  # hex; recipients are known by their salted hash alone
    max_size: int = 52_428_800  # octets
    queue_days: float = 10.0
    quarantine_days: float = 30.0
    unscanned: Action = Action.QUARANTINE  # only with hold_unscanned off
    hold_unscanned: bool = True
    allow: tuple[str, ...] = ()  # networks whose reputation isn't asked for, whatever other lists say
    block: tuple[str, ...] = ()  # networks that this customer takes nothing from
    bounce_key: str = ""  # the customer's MTA signs its reverse-paths with it (BATV, prvs=); empty: it doesn't
    refuse_unsolicited: bool = False  # a bounce without a valid tag is refused; otherwise it is marked
    directory: tuple[LdapSource, ...] = ()
    protect: Protect = Protect()
    delay_warning_hours: float = 0.0  # after which a sender is told that its mail waits; 0: never
    digest: DigestPlan = DigestPlan()
    training: bool = False  # the customer agrees that what is reported may be used to train with
    approve_unauthenticated: bool = False  # an approved sender counts although nothing shows that it is the sender
    retention_hours: float = 0.0  # how long a copy of a message that is done stays for replay; 72 is the most
    origin: str = ""  # who keeps it: empty: the customers file; console: the console's database
    outbound: Outbound = Outbound()
    lapses_at: float = 0.0  # when the licence lapses, from when a notice is put on what is delivered; 0: never
    trial: Trial = Trial()
    groups: tuple[Group, ...] = ()
    helpdesk_reads: bool = False  # the help desk may look into held mail
    forwarders: tuple[
        str, ...
    ] = ()  # networks that forward others' mail to this customer: DMARC that fails says nothing
    users_release: str = "all"  # what recipients may release by themselves: all, spam, none; the rest they ask for


class SenderEntry(Event, frozen=True, kw_only=True):
    """A sender that somebody approved or blocked. Topic senders.v1 (compacted), key: customer/whom/sender."""

    customer: str
    whom: str  # *: the whole customer; @domain; or the hex HMAC-SHA256 of a recipient, as in recipients.v1
    sender: str  # an address in lower case, or @domain
    approved: bool  # False: blocked
    by: str
    at: float


class Recipient(Event, frozen=True, kw_only=True):
    """An address that exists, as one source says. Topic recipients.v1 (compacted), key: customer/digest[/source].

    Each source owns its own records: an address goes when the last source that knows it has let it go.
    """

    customer: str
    digest: str  # hex HMAC-SHA256 of the canonical address under the customer's salt
    source: str = ""  # empty: the customers file; csv; ldap:NAME
    entry: str = ""  # the salted hash of the directory's entry that has it; empty: several have, or nobody knows
    groups: tuple[str, ...] = ()  # names of the directory's groups that it is in, as rules write them


class DirectoryState(Event, frozen=True, kw_only=True):
    """How the syncs of one source go. Topic directory.state.v1 (compacted), key: customer/source."""

    customer: str
    source: str
    tried_at: float
    succeeded_at: float = 0.0  # 0: never
    failing_since: float = 0.0  # 0: the last one succeeded
    problem: str = ""  # of the last one, one line
    entries: int = 0  # that the source has
    addresses: int = 0  # that are kept of it
    added: int = 0  # by the last one
    removed: int = 0
    seconds: float = 0.0  # that the last one took
    runs: int = 0  # since everything was read
    settings: str = ""  # the hash of what the last one was told to read: another one reads everything
    server: str = ""  # whose count of changes `mark` is
    mark: str = ""  # up to where changes are known; empty: the next sync reads everything
    barren: tuple[str, ...] = ()  # entries without an address that counts


class Scanner(Event, frozen=True, kw_only=True):
    """A scanner that is part of the plan of every new message. Topic scanners.v1 (compacted), key: name."""

    name: str
    version: str
    required: bool = True


# --- what the signals app counts and tells


class Tally(Event, frozen=True, kw_only=True):
    """Some events of one kind about one subject. Topic signals.tallies.v1, key: subject/kind."""

    subject: str
    kind: str
    customer: str = ""
    count: int
    at: float  # when the last of them happened
    known: int = 0  # recipients that exist: what a share of unknown ones is taken of
    flagged: int = 0  # of the messages, those that another scanner was sure of
    customers: int = 0  # who was hit, from where, and whom: sets of hashes as bits, united and never added
    sources: int = 0
    recipients: int = 0
    strangers: int = 0  # of the recipients of what goes out, those never written to before
    failed: int = 0  # and those that don't exist


class Signal(Event, frozen=True, kw_only=True):
    """A count over a window went past its limit. Topic signals.v1 (compacted), key: subject/kind.

    It holds until `until`; the tombstone that comes some time later only clears it away.
    """

    subject: str  # an address, a network, a reverse-path, a customer or a fingerprint, as the kind says
    kind: str  # services.core.signals.Kind
    customer: str = ""  # set when it is about one customer alone
    count: int
    window_s: float
    until: float
    at: float
    flagged: int = 0  # of the count, those that another scanner was sure of


class SenderHold(Event, frozen=True, kw_only=True):
    """A customer's sender may send nothing, or may again. Topic submission.holds.v1 (compacted), key: customer/sender.

    It lapses never by itself: who let it go says so in an event of the same key.
    """

    customer: str
    sender: str  # a reverse-path in lower case, or the account that signed in
    held: bool
    reasons: tuple[str, ...] = ()  # stable codes: services.core.conduct.Reason
    why: str  # one line, as a person should read it
    by: str
    at: float
    spared_until: float = 0.0  # once let go: until then `signals` holds it no more for what it sends


class DeadLetter(Event, frozen=True, kw_only=True):
    """A record that could not be handled. Topic deadletters.v1, key: the record's key."""

    topic: str
    partition: int
    offset: int
    group: str
    reason: str
    value: str  # base64 of the record's value as it was
    at: float
    key: str = ""  # of the record; empty in letters from before there was this field
