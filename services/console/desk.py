"""All operations together. API and pages stand on these and on nothing else: what one can do, the other can."""

from __future__ import annotations

import dataclasses

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.console.accounts import Accounts
from services.console.book import Book
from services.console.ceremony import Ceremony
from services.console.customers import Customers
from services.console.data_loss import DataLoss
from services.console.directories import Directories, Ports
from services.console.domains import Domains, Surroundings
from services.console.factors import Factors
from services.console.figures import Figures
from services.console.held import HeldMail
from services.console.held_reading import HeldReading, Reader
from services.console.history import History
from services.console.kept import Kept
from services.console.licences import Licences
from services.console.listed import Lists
from services.console.look_back import LookBack
from services.console.outbound import Outbounds
from services.console.outward import Https, Outward
from services.console.passkeys import PasskeyIn
from services.console.policies import Policies
from services.console.proofs import Doorstep, Proofs
from services.console.protections import Protections
from services.console.purged import Purged
from services.console.queues import Queues, QueueView
from services.console.reports import Reporter, Reports
from services.console.second import Seconds
from services.console.secrets import Keeper
from services.console.signin import SignIn
from services.console.signon import SignOn, UsersPlace
from services.console.signon_in import SignOnIn
from services.console.signup import SignUp
from services.console.tokens import Tokens
from services.console.users.directory import Asked, NoDirectory
from services.console.users.room import Management
from services.core.secrets import Purpose, Secrets
from services.runtime.dkim_keys import DkimKeys
from services.trace.index import Index


@dataclasses.dataclass(frozen=True, slots=True)
class Desk:
    """The rooms of operations, and the ways in."""

    signin: SignIn
    passkeys: PasskeyIn | None  # None: people reach the console by an address, and passkeys need a name
    signon_in: SignOnIn
    customers: Customers
    kept: Kept
    domains: Domains
    accounts: Accounts
    tokens: Tokens
    licences: Licences
    directories: Directories
    purged: Purged
    proofs: Proofs
    signup: SignUp
    doorstep: Doorstep
    outbounds: Outbounds
    history: History
    figures: Figures
    queues: Queues
    held: HeldMail
    held_reading: HeldReading
    reports: Reports
    factors: Factors
    signon: SignOn
    policies: Policies
    data_loss: DataLoss
    lists: Lists
    protections: Protections
    users: Management


def make_desk(  # noqa: PLR0913  # what it is made of
    book: Book,
    signin: SignIn,
    around: Surroundings,
    trace: Index,
    licence_key: Ed25519PublicKey | None,
    ports: Ports,
    directory: Asked | None = None,
    keys: DkimKeys | None = None,
    *,
    waiting: QueueView,
    secrets: Secrets | None = None,
    outward: Outward | None = None,
    reader: Reader | None = None,
    users: UsersPlace | None = None,
) -> Desk:
    """Return the desk over one database.

    `directory` is who reads customers' LDAP directories; `keys` sign outgoing mail, where they may be made here;
    `secrets` seals what has to be read again: without it that isn't taken; `outward` asks hosts that customers name;
    `users` is where the users' console is; `reader` asks the quarantine what held mail says: without it nobody is shown
    that.
    """
    config = around.config
    ceremony = Ceremony(config.host_name, config.base, "Gatepost") if config.host_name else None
    providers = Keeper(secrets, Purpose.SIGN_ON)
    outward = outward or Https(around.resolver, private=config.private_issuers)
    most = config.failures_by_client
    customers = Customers(book, around.config, around.directory)
    back = LookBack(book.clock, trace, around.senders, around.directory.groups_of)
    return Desk(
        signin=signin,
        passkeys=None if ceremony is None else PasskeyIn(book, signin, ceremony, by_client=most),
        signon_in=SignOnIn(book, signin, providers, config, outward),
        customers=customers,
        kept=Kept(book, customers, around.directory),
        domains=Domains(book, around),
        accounts=Accounts(book),
        tokens=Tokens(book),
        licences=Licences(book, licence_key),
        directories=Directories(book, ports),
        purged=Purged(book),
        proofs=Proofs(book),
        signup=SignUp(book, signin, around.config),
        doorstep=Doorstep(book, around),
        outbounds=Outbounds(book, around, keys),
        history=History(book, trace),
        figures=Figures(book, trace, waiting, around.config.promise_seconds),
        queues=Queues(book, around.directory, waiting),
        held=HeldMail(book),
        held_reading=HeldReading(book, reader),
        reports=Reports(book, Reporter(trace, around.config.promise_seconds)),
        factors=Factors(book, Seconds(Keeper(secrets, Purpose.SECOND_FACTOR)), ceremony),
        signon=SignOn(book, providers, config, users),
        policies=Policies(book, back),
        data_loss=DataLoss(book, back),
        lists=Lists(book, around.senders),
        protections=Protections(book),
        users=Management(book, NoDirectory() if directory is None else directory, around.directory.groups_of),
    )
