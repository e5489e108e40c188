"""Every line that an SMTP client may hear from us (RFC 5321 section 4.2, enhanced codes of RFC 3463).

One place, so that it can be read at a glance that no line says more than it should: no text of an exception, nothing of
the client's own words, no name of a part of ours.
"""

from __future__ import annotations

import dataclasses
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One line of an answer. `enhanced` is empty where RFC 2034 has none: greetings, EHLO, 354."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    @property
    def ok(self) -> bool:
        """Whether the command did what it was asked to."""
        return self.code < 400  # noqa: PLR2004  # RFC 5321 section 4.2.1: the first digit

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this line."""
        return self.code in {221, 421, 521}


# --- fine
OK: Final = Reply(250, "2.0.0", "OK")
SENDER_OK: Final = Reply(250, "2.1.0", "OK")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "OK")
BYE: Final = Reply(221, "2.0.0", "Bye")
CHUNK_OK: Final = Reply(250, "2.0.0", "Chunk received")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")
GO_AHEAD: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
SIGNED_IN: Final = Reply(235, "2.7.0", "Authentication succeeded")
CHALLENGE: Final = Reply(334, "", "")
ASKS_NAME: Final = Reply(334, "", "VXNlcm5hbWU6")  # Username: (the LOGIN mechanism)
ASKS_PASSWORD: Final = Reply(334, "", "UGFzc3dvcmQ6")  # Password:
CANNOT_VERIFY: Final = Reply(252, "2.5.0", "Send some mail, and we will do our best")
HELP: Final = Reply(214, "2.0.0", "See RFC 5321")


def greeting(hostname: str) -> Reply:
    """Return the first line of a connection."""
    return Reply(220, "", f"{hostname} ESMTP Gatepost")


def refused(code: str, contact: str) -> Reply:
    """Return the line for a client that is not let in: a code to name, and where to ask; `contact` may be empty."""
    return Reply(554, "5.7.1", f"Refused, code {code}" + (f", see {contact}" if contact else ""))


def accepted(message: str) -> Reply:
    """Return the line that makes the message ours. It carries the id, by which a sender can ask for it."""
    return Reply(250, "2.0.0", f"OK id={message}")


# --- ours: temporary, and the sender tries again
UNAVAILABLE: Final = Reply(451, "4.3.0", "Temporarily unable to take mail, try again later")
TRY_LATER: Final = Reply(421, "4.3.0", "Temporary failure, closing connection")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Service closing, try again later")
NO_ROOM: Final = Reply(452, "4.3.1", "Insufficient resources, try again later")
NO_TLS: Final = Reply(454, "4.7.0", "TLS not available")

AUTH_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")

# --- limits
TOO_SLOW: Final = Reply(421, "4.4.2", "Timeout, closing connection")
SESSION_OVER: Final = Reply(421, "4.4.2", "Session lasted too long, closing connection")
TOO_BUSY: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_FROM_YOU: Final = Reply(421, "4.7.0", "Too many connections from your address")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors, closing connection")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients")
TOO_MANY_MESSAGES: Final = Reply(452, "4.7.1", "Too many messages from you, try again later")
SLOW_DOWN: Final = Reply(450, "4.7.1", "Too many recipients from you, try again later")
RECIPIENT_BUSY: Final = Reply(450, "4.2.1", "Too much mail for this recipient, try again later")
CUSTOMER_TOO_MUCH: Final = Reply(450, "4.7.1", "Too many messages from your organisation, try again later")
SENDER_HELD: Final = Reply(450, "4.7.1", "Sending is held for this account, ask its administrator")
TOO_MANY_SENT: Final = Reply(450, "4.7.1", "Too many messages from this sender, try again later")
NOT_NOW: Final = Reply(450, "4.7.1", "Not now, try again later")
GREYLISTED: Final = Reply(450, "4.7.1", "Greylisted, try again later")
LINE_TOO_LONG: Final = Reply(500, "5.5.6", "Line too long")
TOO_BIG: Final = Reply(552, "5.3.4", "Message size exceeds the limit")

# --- protocol errors
OUT_OF_TURN: Final = Reply(554, "5.5.0", "Spoke out of turn, closing connection")
PROXY_REFUSED: Final = Reply(554, "5.7.1", "PROXY header refused, closing connection")
BARE_LINE_END: Final = Reply(521, "5.5.2", "Line not ended by <CR><LF>, closing connection")
BAD_SYNTAX: Final = Reply(500, "5.5.2", "Syntax error")
UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "Command not recognised")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "This command takes no argument")
BAD_ARGUMENT: Final = Reply(501, "5.5.4", "Syntax error in argument")
BAD_CHUNK: Final = Reply(501, "5.5.4", "Chunk size expected, closing connection")
BAD_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognised")
HELO_FIRST: Final = Reply(503, "5.5.1", "Send EHLO first")
MAIL_FIRST: Final = Reply(503, "5.5.1", "Send MAIL first")
RCPT_FIRST: Final = Reply(503, "5.5.1", "Send RCPT first")
NESTED_MAIL: Final = Reply(503, "5.5.1", "Sender already given")
CHUNKS_BEGUN: Final = Reply(503, "5.5.1", "Message begun by BDAT")
TLS_ALREADY: Final = Reply(503, "5.5.1", "TLS already active")
NO_VALID_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")

# --- submission (RFC 4954, RFC 6409)
BAD_CREDENTIALS: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
ENCRYPTION_FIRST: Final = Reply(538, "5.7.11", "Encryption required for authentication")
NO_MECHANISM: Final = Reply(504, "5.5.4", "Authentication mechanism not supported")
BAD_RESPONSE: Final = Reply(501, "5.5.2", "Cannot decode response")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_NOT_NOW: Final = Reply(503, "5.5.1", "Authentication not permitted now")
AUTH_REQUIRED: Final = Reply(530, "5.7.0", "Authentication required")
NOT_YOUR_SENDER: Final = Reply(550, "5.7.1", "Sender address not yours to use")
NOT_YOUR_FROM: Final = Reply(550, "5.7.1", "From address not yours to use")
NO_FROM: Final = Reply(554, "5.6.0", "Message needs one From field that can be read")

# --- refusals
BAD_SENDER: Final = Reply(553, "5.1.7", "Sender address not valid")
BAD_RECIPIENT: Final = Reply(553, "5.1.3", "Recipient address not valid")
NEEDS_SMTPUTF8: Final = Reply(553, "5.6.7", "Address needs SMTPUTF8")
RELAYING_DENIED: Final = Reply(550, "5.7.1", "Relaying denied")
UNKNOWN_RECIPIENT: Final = Reply(550, "5.1.1", "Recipient unknown")
BLOCKED: Final = Reply(554, "5.7.1", "Refused by the recipient's list of senders")
UNSOLICITED_BOUNCE: Final = Reply(550, "5.7.1", "Bounce answers nothing that was sent from here")
LOOP: Final = Reply(554, "5.4.6", "Routing loop detected")
SMUGGLING: Final = Reply(554, "5.5.2", "Lone dot on a line not ended by <CR><LF>")
NUL_IN_MESSAGE: Final = Reply(554, "5.6.0", "Message contains NUL")
LONG_LINE_IN_MESSAGE: Final = Reply(554, "5.6.0", "Message has a line that is too long")
