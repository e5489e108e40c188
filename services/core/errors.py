"""Every failure has a type, and the type says whether trying again can help and whose fault it is.

Text in an exception is for the log. What an SMTP client may hear is in `services.core.replies`, and always the same.
"""

from __future__ import annotations


class GatepostError(Exception):
    """The root of every failure that Gatepost raises on purpose."""


class Temporary(GatepostError):  # noqa: N818  # the name says what it is
    """Trying again later can help: the work stays owned and is retried."""


class Permanent(GatepostError):  # noqa: N818  # as above
    """Trying again gives the same answer: the work ends here, with this reason."""


# --- ours, temporary: a part of the service can't be had right now


class StoreUnavailable(Temporary):
    """The object store didn't answer, or answered that it can't now."""


class StoreFull(StoreUnavailable):
    """The object store has no room left."""


class BusUnavailable(Temporary):
    """The broker didn't acknowledge within the limit. The event may still land: ids make that harmless."""


class DatabaseUnavailable(Temporary):
    """The database didn't answer, or answered that it can't now."""


class EngineUnavailable(Temporary):
    """A scanning engine is down, too slow, or answered something that can't be read. Never means clean."""


class DnsUnavailable(Temporary):
    """The resolver gave no answer. Says nothing about the name."""


class DirectoryUnavailable(Temporary):
    """A customer's directory didn't answer, or not to the end. The last good copy stays."""


# --- ours, permanent: a fact about our own data


class ObjectNotFound(Permanent):
    """No object under this key: its message ended, or was never accepted."""


class ObjectCorrupt(Permanent):
    """The object can't be read as one that we wrote."""


class ObjectConflict(Permanent):
    """Another object with other bytes lies under this key."""


class KeyDestroyed(Permanent):
    """The customer's key was destroyed, or belongs to another master key: what it encrypted can't be read again."""


class BadKey(Permanent):
    """Not a key that an object of ours can have."""


class UnreadableEvent(Permanent):
    """A record of a topic that doesn't decode as the topic's struct."""


# --- theirs, permanent: what someone gave us is wrong


class BadAddress(Permanent):
    """Not an address of RFC 5321 section 4.1.2 (with RFC 6531)."""


class ConfigError(Permanent):
    """What the operator wrote can't be used. The text is one line and names the place; the command exits with 2."""


class DirectoryRefused(Permanent):
    """A customer's directory refuses us, isn't the right one, or can't mean what it says. The last good copy stays."""


class StartError(Permanent):
    """A part of the service can't start here. The text is one line and says what to do; the command exits with 1."""


class TooManyDeadLetters(StartError):  # noqa: N818  # the name says what it is
    """So many records could not be handled that the fault is ours: the consumer stopped, and they stay in place."""


class LoadFailed(StartError):  # noqa: N818  # the name says what it is
    """What a consumer keeps for its partitions could not be loaded: it stopped, and handled nothing."""
