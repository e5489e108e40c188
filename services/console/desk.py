"""All operations together. API and pages stand on these and on nothing else: what one can do, the other can."""

from __future__ import annotations

import dataclasses

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.console.accounts import Accounts
from services.console.book import Book
from services.console.customers import Customers
from services.console.directories import Directories, Ports
from services.console.domains import Domains, Surroundings
from services.console.figures import Figures
from services.console.held import HeldMail
from services.console.history import History
from services.console.licences import Licences
from services.console.listed import Lists
from services.console.outbound import Outbounds
from services.console.policies import Policies
from services.console.proofs import Doorstep, Proofs
from services.console.protections import Protections
from services.console.purged import Purged
from services.console.queues import Queues, QueueView
from services.console.reports import Reporter, Reports
from services.console.signin import SignIn
from services.console.signup import SignUp
from services.console.tokens import Tokens
from services.console.users.directory import Asked, NoDirectory
from services.console.users.room import Management
from services.runtime.dkim_keys import DkimKeys
from services.trace.index import Index


@dataclasses.dataclass(frozen=True, slots=True)
class Desk:
    """The rooms of operations, and the way in."""

    signin: SignIn
    customers: Customers
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
    reports: Reports
    policies: Policies
    lists: Lists
    protections: Protections
    users: Management


def make_desk(  # noqa: PLR0913  # its ports
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
) -> Desk:
    """Return the desk over one database.

    `directory` is who reads customers' LDAP directories; `keys` sign outgoing mail, where they may be made here.
    """
    return Desk(
        signin=signin,
        customers=Customers(book, around.config, around.directory),
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
        reports=Reports(book, Reporter(trace, around.config.promise_seconds)),
        policies=Policies(book, trace, around.senders),
        lists=Lists(book, around.senders),
        protections=Protections(book),
        users=Management(book, NoDirectory() if directory is None else directory),
    )
