"""One's own second factors: an authenticator's codes, passkeys, recovery codes; and an account's, taken away.

They are changed in a session that has just begun: who finds a browser open must not make himself a way in that lasts.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, insert, select, update

from services.console import models, models_signin, steps, totp
from services.console.accounts import account_of
from services.console.book import Book, Change
from services.console.caller import Caller, Forbidden, NotFound, Refused, allowed
from services.console.ceremony import BadPasskey, Ceremony, challenge_of, new_challenge
from services.console.passkeys import begin, credentials_of
from services.console.roles import Act, Role, may_manage
from services.console.second import BY_CODE, Seconds, forget_factors
from services.console.tables import PASSKEYS, SESSIONS, TOTP
from services.console.throttle import Throttle

FRESH: Final = 900.0  # seconds after its beginning in which a session may change second factors
PASSKEYS_MOST: Final = 20  # of one account


class Factors:
    """Operations on second factors."""

    def __init__(self, book: Book, seconds: Seconds, ceremony: Ceremony | None) -> None:
        """`ceremony`: None where people reach the console by an address: passkeys need a name."""
        self.book = book
        self._seconds = seconds
        self._ceremony = ceremony
        self._codes = Throttle("confirm", book.clock)

    @allowed(Act.SELF)
    async def factors(self, caller: Caller) -> models_signin.Factors:
        """The caller's own second factors."""
        asked = select(PASSKEYS).where(PASSKEYS.c.account == caller.account).order_by(PASSKEYS.c.id)
        async with self.book.reading() as connection:
            kinds = await self._seconds.kinds(connection, caller.account)
            rows = (await connection.execute(asked)).all()
        return models_signin.Factors(
            totp=kinds.totp,
            recovery_codes=kinds.recovery,
            passkeys=[
                models_signin.Passkey(id=row.id, label=row.label, made_at=row.made_at, used_at=row.used_at)
                for row in rows
            ],
            due=caller.factor_due,
            passkeys_possible=self._ceremony is not None,
        )

    # --- codes by time

    @allowed(Act.SELF)
    async def begin_totp(self, caller: Caller) -> models_signin.Seed:
        """Make a seed for an authenticator; it counts once a code of it was shown."""
        async with self.book.change(caller.author) as change:
            await self._may(change, caller)
            if (await self._seconds.kinds(change.connection, caller.account)).totp:
                raise Refused("factor.known")
            return _seed(await self._seconds.new_seed(change, caller.account), caller)

    @allowed(Act.SELF)
    async def pending_totp(self, caller: Caller) -> models_signin.Seed:
        """The seed that awaits its first code, for a page that is shown again."""
        self._fresh(caller)
        async with self.book.reading() as connection:
            seed = await self._seconds.seed(connection, caller.account)
        if seed is None:
            raise NotFound("no seed")
        return _seed(seed, caller)

    @allowed(Act.SELF)
    async def confirm_totp(self, caller: Caller, body: models_signin.Code) -> models_signin.RecoveryCodes:
        """Take the authenticator into use by its first code; return recovery codes if there are none yet."""
        async with self.book.change(caller.author) as change:
            await self._may(change, caller)
            if await self._codes.waits(change.connection, caller.client, caller.account):
                raise Refused("login.wait")
            if await self._seconds.take_code(change, caller.account, body.code, first=True):
                await change.note(caller.customer, "second-factor-added", caller.address, after={"kind": BY_CODE})
                return await self._added(change, caller)
            await self._codes.note(change.connection, caller.client, caller.account)
        raise Refused("second.wrong")

    @allowed(Act.SELF)
    async def remove_totp(self, caller: Caller) -> models.Empty:
        """Take the authenticator out of use."""
        async with self.book.change(caller.author) as change:
            await self._may(change, caller)
            gone = await change.connection.execute(delete(TOTP).where(TOTP.c.account == caller.account))
            if not gone.rowcount:
                raise NotFound("no authenticator")
            await self._removed(change, caller, {"kind": BY_CODE})
        return models.Empty()

    # --- recovery codes

    @allowed(Act.SELF)
    async def new_recovery_codes(self, caller: Caller) -> models_signin.RecoveryCodes:
        """Make new recovery codes; the old ones are void."""
        async with self.book.change(caller.author) as change:
            await self._may(change, caller)
            if not (await self._seconds.kinds(change.connection, caller.account)).any:
                raise Refused("factor.none")
            codes = await self._seconds.new_recovery_codes(change, caller.account)
            await change.note(caller.customer, "recovery-codes-made", caller.address, after={"left": len(codes)})
        return models_signin.RecoveryCodes(codes=codes)

    # --- passkeys

    @allowed(Act.SELF)
    async def begin_passkey(self, caller: Caller) -> models_signin.Asked:
        """What a browser is to be asked to make a passkey."""
        ceremony = self._passkeys()
        challenge = new_challenge()
        async with self.book.change(caller.author) as change:
            await self._may(change, caller)
            known = await credentials_of(change.connection, caller.account)
            if len(known) >= PASSKEYS_MOST:
                raise Refused("passkey.many", most=PASSKEYS_MOST)
            step = await begin(change, steps.PASSKEY_NEW, caller.account, challenge)
        return models_signin.Asked(
            step=step, options=ceremony.ask_new(caller.account, caller.address, challenge, known)
        )

    @allowed(Act.SELF)
    async def add_passkey(self, caller: Caller, body: models_signin.NewPasskey) -> models_signin.RecoveryCodes:
        """Keep the passkey that the browser has made; return recovery codes if there are none yet."""
        ceremony = self._passkeys()
        async with self.book.change(caller.author) as change:
            await self._may(change, caller)
            step = await steps.use(change.connection, steps.PASSKEY_NEW, body.step, change.now)
        if step is None or step.account != caller.account:
            raise Refused("second.over")
        try:
            made = ceremony.registered(body.answer, challenge_of(step.payload))
        except BadPasskey as error:
            raise Refused("passkey.wrong") from error
        async with self.book.change(caller.author) as change:
            known = select(PASSKEYS.c.id).where(PASSKEYS.c.credential == made.credential)
            if await change.connection.scalar(known) is not None:
                raise Refused("passkey.wrong")
            row = {
                "id": change.new_id(),
                "account": caller.account,
                "credential": made.credential,
                "public_key": made.public_key,
                "sign_count": made.sign_count,
                "label": body.label,
                "made_at": change.now,
                "used_at": 0.0,
            }
            await change.connection.execute(insert(PASSKEYS), [row])
            after = {"kind": "passkey", "label": body.label}
            await change.note(caller.customer, "second-factor-added", caller.address, after=after)
            return await self._added(change, caller)

    @allowed(Act.SELF)
    async def remove_passkey(self, caller: Caller, passkey: str) -> models.Empty:
        """Forget one of the caller's passkeys."""
        mine = (PASSKEYS.c.id == passkey, PASSKEYS.c.account == caller.account)
        async with self.book.change(caller.author) as change:
            await self._may(change, caller)
            label = await change.connection.scalar(select(PASSKEYS.c.label).where(*mine))
            if label is None:
                raise NotFound(passkey)
            await change.connection.execute(delete(PASSKEYS).where(*mine))
            await self._removed(change, caller, {"kind": "passkey", "label": label})
        return models.Empty()

    # --- another's

    @allowed(Act.ACCOUNTS_CHANGE, limited=True)
    async def reset_factors(self, caller: Caller, customer: str, account: str) -> models.Empty:
        """Take every second factor of an account away, for somebody who has lost his; its sessions end."""
        async with self.book.change(caller.author) as change:
            row = await account_of(change, caller, customer, account)
            if account == caller.account or not may_manage(caller.role, Role(row.role)):
                raise Forbidden("one's own factors, or of a role above one's own")
            await forget_factors(change, account)
            await change.connection.execute(delete(SESSIONS).where(SESSIONS.c.account == account))
            await change.note(customer, "second-factors-reset", row.address)
        return models.Empty()

    # --- helpers

    def _passkeys(self) -> Ceremony:
        if self._ceremony is None:
            raise Refused("passkey.no-name")
        return self._ceremony

    def _fresh(self, caller: Caller) -> None:
        if not caller.session or self.book.clock.now() >= caller.begun_at + FRESH:
            raise Refused("factor.anew")

    async def _may(self, change: Change, caller: Caller) -> None:
        self._fresh(caller)
        await hold_session(change, caller)

    async def _added(self, change: Change, caller: Caller) -> models_signin.RecoveryCodes:
        """This session has shown a second factor now; the others, that a password began, have not."""
        mine = SESSIONS.c.account == caller.account
        await change.connection.execute(delete(SESSIONS).where(mine, SESSIONS.c.id != caller.session))
        await change.connection.execute(update(SESSIONS).where(SESSIONS.c.id == caller.session).values(strong=1))
        if (await self._seconds.kinds(change.connection, caller.account)).recovery:
            return models_signin.RecoveryCodes(codes=[])
        return models_signin.RecoveryCodes(codes=await self._seconds.new_recovery_codes(change, caller.account))

    async def _removed(self, change: Change, caller: Caller, before: dict[str, str]) -> None:
        await change.note(caller.customer, "second-factor-removed", caller.address, before=before)
        if not (await self._seconds.kinds(change.connection, caller.account)).any:
            await forget_factors(change, caller.account)  # recovery codes to nothing would open nothing


async def hold_session(change: Change, caller: Caller) -> None:
    """Hold the caller's session until the transaction ends; raise Refused when it was ended meanwhile."""
    mine = (SESSIONS.c.id == caller.session, SESSIONS.c.account == caller.account)
    held = await change.connection.execute(update(SESSIONS).where(*mine).values(account=caller.account))
    if not held.rowcount:
        raise Refused("factor.anew")


def _seed(seed: bytes, caller: Caller) -> models_signin.Seed:
    uri = totp.uri_of(seed, caller.address)
    return models_signin.Seed(secret=totp.secret_of(seed), uri=uri, picture=totp.picture_of(uri))
