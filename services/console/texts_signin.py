"""What people read of second factors, passkeys, single sign-on and accounts that are limited to domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SIGNIN: Final[Mapping[str, tuple[str, str]]] = {
    "nav.sign-in": ("Sign-in", "Accesso"),
    # --- after the password
    "second.title": ("Second step", "Secondo passaggio"),
    "second.code-title": ("By a code", "Con un codice"),
    "second.code": ("Code", "Codice"),
    "second.hint": (
        "The six digits that your authenticator shows, or one of your recovery codes.",
        "Le sei cifre mostrate dall'app di autenticazione, oppure uno dei codici di recupero.",
    ),
    "second.hint-recovery": ("One of your recovery codes.", "Uno dei codici di recupero."),
    "second.go": ("Go on", "Continua"),
    "second.again": ("Start again", "Ricomincia"),
    "second.wrong": (
        "This code is not right, or was used already. Wait for the next one.",
        "Il codice non è corretto o è già stato usato. Attendere il successivo.",
    ),
    "second.over": (
        "That took too long, or was done already. Start again.",
        "Tempo scaduto o operazione già eseguita. Ricominciare.",
    ),
    # --- passkeys
    "passkey.title": ("By a passkey", "Con una passkey"),
    "passkey.sign-in": ("Log in with a passkey", "Accedi con una passkey"),
    "passkey.hint": (
        "Your device asks for its PIN, a finger or your face. No password is needed.",
        "Il dispositivo chiede il PIN, un'impronta o il volto. Non serve alcuna password.",
    ),
    "passkey.use": ("Use a passkey", "Usa una passkey"),
    "passkey.password": ("Log in with a password", "Accedi con la password"),
    "passkey.script": (
        "Browsers give passkeys to pages with script alone; script is off here.",
        "I browser offrono le passkey solo alle pagine con script; qui lo script è disattivato.",
    ),
    "passkey.failed": (
        "The browser gave no passkey. Please try again.",
        "Il browser non ha fornito una passkey. Riprova.",
    ),
    "passkey.wrong": ("This passkey was not accepted.", "La passkey non è stata accettata."),
    "passkey.many": ("There are {most} passkeys already.", "Ci sono già {most} passkey."),
    "passkey.no-name": (
        "Passkeys need a console that is reached by a name (GATEPOST_CONSOLE_URL).",
        "Le passkey richiedono che la console abbia un nome (GATEPOST_CONSOLE_URL).",
    ),
    "passkey.new": ("Add a passkey", "Aggiungi una passkey"),
    "passkey.new-hint": (
        "It stays in your device or security key, and works at this address alone.",
        "Resta nel dispositivo o nella chiave di sicurezza e funziona solo a questo indirizzo.",
    ),
    "passkey.label": ("What to call it", "Come chiamarla"),
    "passkey.label-hint": ("For example: laptop", "Per esempio: portatile"),
    "passkey.make": ("Make the passkey", "Crea la passkey"),
    # --- at the customer's own provider
    "sso.title": ("Log in with your organisation's account", "Accedi con l'account della tua organizzazione"),
    "sso.organisation": ("Your address, domain or customer id", "Il tuo indirizzo, dominio o id cliente"),
    "sso.organisation-hint": (
        "You are sent to where your organisation asks for its own password.",
        "Verrai inviato alla pagina di accesso della tua organizzazione.",
    ),
    "sso.go-on": ("Go on", "Continua"),
    "sso.start-hint": (
        "You go on to the sign-in page of {organisation}.",
        "Si prosegue alla pagina di accesso di {organisation}.",
    ),
    "sso.unknown": (
        "This organisation has set up no sign-in of its own here.",
        "Questa organizzazione non ha configurato un accesso proprio.",
    ),
    "sso.failed": (
        "Your organisation's sign-in gave no answer that can be used. Please try again, or tell your administrator.",
        "L'accesso dell'organizzazione non ha dato una risposta valida. Riprovare o avvisare l'amministratore.",
    ),
    "sso.not-verified": (
        "Your organisation's sign-in does not vouch for your e-mail address.",
        "L'accesso dell'organizzazione non garantisce il tuo indirizzo e-mail.",
    ),
    "sso.no-account": (
        "There is no account for you here. Ask your administrator for an invitation.",
        "Non esiste un account per te. Chiedere un invito all'amministratore.",
    ),
    "sign-in.users": ("Users who come in by it", "Utenti che accedono così"),
    "sign-in.users.none": ("none", "nessuno"),
    "sign-in.users.known": (
        "those there are, and addresses that the directory has",
        "quelli esistenti e gli indirizzi presenti nella directory",
    ),
    "sign-in.users.all": ("whoever has an address in your domains", "chi ha un indirizzo nei propri domini"),
    "sign-in.users-hint": (
        "To their quarantine. The provider must know {callback} as well. Who isn't there yet is made when he comes.",
        "Alla loro quarantena. Il provider deve conoscere anche {callback}. Chi manca viene creato quando entra.",
    ),
    "sign-in.users-callback": ("The users' redirect address", "Indirizzo di ritorno degli utenti"),
    "sign-in.users-start": ("Where users begin", "Dove iniziano gli utenti"),
    "sso.issuer": ("The issuer was not taken: {reason}.", "L'issuer non è stato accettato: {reason}."),
    "sso.secret": ("The client's secret is needed.", "È necessario il segreto del client."),
    "sso.role": ("Owners are invited, never made by a provider.", "I titolari si invitano, non si creano da soli."),
    # --- one's own second factors
    "factors.title": ("Your second factors", "I tuoi secondi fattori"),
    "factors.due": (
        "A second factor is required. Set one up to go on.",
        "È richiesto un secondo fattore. Configurarne uno per continuare.",
    ),
    "factors.totp": ("Authenticator", "App di autenticazione"),
    "factors.totp-on": (
        "After the password, a code of your authenticator is asked for.",
        "Dopo la password viene chiesto un codice dell'app di autenticazione.",
    ),
    "factors.totp-off": (
        "An app on your phone that shows a new code every 30 seconds.",
        "Un'app sul telefono che mostra un nuovo codice ogni 30 secondi.",
    ),
    "factors.totp-add": ("Set up an authenticator", "Configura un'app di autenticazione"),
    "factors.totp-remove": ("Remove the authenticator", "Rimuovi l'app di autenticazione"),
    "factors.scan": ("Scan this code with your authenticator.", "Inquadra questo codice con l'app."),
    "factors.qr": ("QR code of the secret that stands below", "Codice QR del segreto riportato sotto"),
    "factors.secret": ("Or type this secret in:", "Oppure digita questo segreto:"),
    "factors.code-hint": ("The six digits that it shows now.", "Le sei cifre che mostra ora."),
    "factors.confirm": ("Take it into use", "Attiva"),
    "factors.codes": ("Your recovery codes", "I tuoi codici di recupero"),
    "factors.codes-made": (
        "Write these down. Each works once in place of the second factor. They are not shown again.",
        "Annotali. Ognuno vale una volta al posto del secondo fattore. Non verranno più mostrati.",
    ),
    "factors.passkeys": ("Passkeys", "Passkey"),
    "factors.no-passkeys": ("You have no passkeys yet.", "Non hai ancora passkey."),
    "factors.made": ("Made", "Creata"),
    "factors.recovery": ("Recovery codes", "Codici di recupero"),
    "factors.recovery-left": ("Codes that are left: {left}", "Codici rimasti: {left}"),
    "factors.recovery-new": ("Make new codes; the old ones end", "Crea nuovi codici; i vecchi decadono"),
    "factor.anew": (
        "For this, log out and in again: it is open for a quarter of an hour after you logged in.",
        "Per questa operazione esci e accedi di nuovo: è possibile entro un quarto d'ora dall'accesso.",
    ),
    "factor.known": ("There is an authenticator already.", "Esiste già un'app di autenticazione."),
    "factor.none": ("Set up a second factor first.", "Configurare prima un secondo fattore."),
    "done.factor-added": ("The second factor is in use.", "Il secondo fattore è attivo."),
    "done.factor-removed": ("It was removed.", "Rimosso."),
    # --- of a customer
    "sign-in.title": ("How people sign in", "Come si accede"),
    "sign-in.factor": ("Second factor", "Secondo fattore"),
    "sign-in.required": (
        "Everybody who signs in with a password must have a second factor.",
        "Chi accede con la password deve avere un secondo fattore.",
    ),
    "sign-in.not-required": (
        "A second factor is each person's own choice.",
        "Il secondo fattore è una scelta di ciascuno.",
    ),
    "sign-in.require": ("Require a second factor", "Richiedi un secondo fattore"),
    "sign-in.require-not": ("Require it no longer", "Non richiederlo più"),
    "sign-in.provider": ("Single sign-on (OpenID Connect)", "Single sign-on (OpenID Connect)"),
    "sign-in.callback": ("Redirect address for the provider", "Indirizzo di ritorno per il provider"),
    "sign-in.start": ("Where people begin", "Dove si inizia"),
    "sign-in.issuer": ("Issuer", "Issuer"),
    "sign-in.issuer-hint": (
        "As the provider names itself, such as https://login.acme.example",
        "Come il provider si nomina, per esempio https://login.acme.example",
    ),
    "sign-in.client": ("Client id", "Id del client"),
    "sign-in.secret": ("Client secret", "Segreto del client"),
    "sign-in.secret-hint": ("Empty: the one that is kept stays.", "Vuoto: resta quello conservato."),
    "sign-in.new-accounts": ("Role of new people", "Ruolo dei nuovi utenti"),
    "sign-in.no-accounts": ("none: only who is invited", "nessuno: solo chi è invitato"),
    "sign-in.role-hint": (
        "Who has no account yet gets one at the first sign-in, if the address is in a domain of yours.",
        "Chi non ha un account lo ottiene al primo accesso, se l'indirizzo è in un tuo dominio.",
    ),
    "sign-in.remove": ("Remove the provider", "Rimuovi il provider"),
    "done.sign-in-saved": ("Saved.", "Salvato."),
    # --- accounts that are limited
    "accounts.domains": ("Limited to domains", "Limitato ai domini"),
    "accounts.all-domains": ("all", "tutti"),
    "accounts.domains-hint": (
        "With spaces between them. Empty: all that you see yourself.",
        "Separati da spazi. Vuoto: tutti quelli che vedi tu.",
    ),
    "accounts.sign-out": ("End all sessions", "Termina tutte le sessioni"),
    "me.others": ("End all other sessions", "Termina tutte le altre sessioni"),
    "tokens.days": ("Good for (days)", "Valido per (giorni)"),
    "done.sessions-ended": ("The sessions were ended.", "Sessioni terminate."),
    "accounts.factors": ("Reset the second factor", "Azzera il secondo fattore"),
    "account.owner-limited": ("An owner is of the whole customer.", "Un titolare riguarda l'intero cliente."),
    "account.no-domain": ("{name} is none of the customer's domains.", "{name} non è un dominio del cliente."),
    "done.factors-reset": (
        "The second factors were taken away, and the sessions ended.",
        "Secondi fattori rimossi e sessioni terminate.",
    ),
}
