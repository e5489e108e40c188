"""What users and those who manage them read, in both languages: part of the catalogue of `services.console.texts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

USERS: Final[Mapping[str, tuple[str, str]]] = {
    # --- end-user management
    "users.title": ("End-user management", "Gestione utenti finali"),
    "users.sections.users": ("Users and groups", "Utenti e gruppi"),
    "users.kind": ("Kind", "Tipo"),
    "users.kind.user": ("user", "utente"),
    "users.kind.group": ("group or shared mailbox", "gruppo o casella condivisa"),
    "users.aliases": ("Other addresses", "Altri indirizzi"),
    "users.aliases.hint": ("One a line, in your domains.", "Uno per riga, nei tuoi domini."),
    "users.members": ("Members", "Membri"),
    "users.members.hint": (
        "Of a group: addresses of users, one a line. They see what is held for the group.",
        "Di un gruppo: indirizzi di utenti, uno per riga. Vedono ciò che è trattenuto per il gruppo.",
    ),
    "users.directory-groups": ("In the directory's groups", "Nei gruppi della directory"),
    "users.groups": ("Groups", "Gruppi"),
    "users.source": ("Comes from", "Proviene da"),
    "users.source.hand": ("made by hand", "inserito a mano"),
    "users.source.csv": ("a table", "una tabella"),
    "users.source.provider": ("single sign-on", "single sign-on"),
    "users.no-password": ("no password yet", "ancora senza password"),
    "users.search": ("Address or name holds", "L'indirizzo o il nome contiene"),
    "users.add": ("Add a user or a group", "Aggiungi un utente o un gruppo"),
    "users.change": ("Change", "Modifica"),
    "users.invite": ("Send the activation link", "Invia il collegamento di attivazione"),
    "users.invite.many": (
        "Send new users their activation links",
        "Invia ai nuovi utenti il loro collegamento",
    ),
    "users.language.browser": ("as the browser asks for", "come chiede il browser"),
    "users.table": ("Take in a table", "Importa una tabella"),
    "users.table.label": ("Table (CSV)", "Tabella (CSV)"),
    "users.table.hint": (
        "Columns: address, name, aliases, kind (user or group), members. Blanks between addresses in a cell.",
        "Colonne: address, name, aliases, kind (user o group), members. Più indirizzi in una cella, separati da spazi.",
    ),
    "users.table.replace": (
        "Remove who came by a table before and is not in this one",
        "Rimuovi chi proviene da una tabella precedente e non è in questa",
    ),
    "users.table.take": ("Take it in", "Importa"),
    "users.directory": ("LDAP directory", "Directory LDAP"),
    "users.directory.hint": (
        "Users and groups are read every hour. They sign in with their directory's password, or with one of ours.",
        "Utenti e gruppi vengono letti ogni ora. Accedono con la password della directory o con una nostra.",
    ),
    "users.directory.read": ("Read it now", "Leggi ora"),
    "users.taken-in": (
        "{added} added, {changed} changed, {removed} removed.",
        "{added} aggiunti, {changed} modificati, {removed} rimossi.",
    ),
    "users.left-out": ("Held by others, and left out: {addresses}.", "Di altri, e tralasciati: {addresses}."),
    "users.csv": ("The table was not taken: {reason}.", "La tabella non è stata importata: {reason}."),
    "users.no-directory": ("This customer has no LDAP directory.", "Questo cliente non ha una directory LDAP."),
    "users.directory-away": (
        "The directory could not be read now. Please try again later.",
        "La directory non può essere letta ora. Riprovare più tardi.",
    ),
    "users.directory-refuses": ("The directory refuses: {reason}.", "La directory rifiuta: {reason}."),
    "users.drop": (
        "Nothing was changed: {gone} of {before} users would go, more than is believed.",
        "Nulla è stato modificato: {gone} utenti su {before} verrebbero rimossi, più di quanto sia credibile.",
    ),
    "users.passwords": ("Passwords", "Password"),
    "users.passwords.hint": (
        (
            "A user is sent a link. He opens it, enters his address and chooses a password. "
            "The link works once: for seven days at first, for a day when it resets a password."
        ),
        (
            "L'utente riceve un collegamento. Lo apre, inserisce il suo indirizzo e sceglie una password. "
            "Il collegamento funziona una sola volta: per sette giorni la prima volta, "
            "per un giorno quando reimposta la password."
        ),
    ),
    "users.link.activate": ("Send the activation link", "Invia il collegamento di attivazione"),
    "users.link.reset": ("Reset the password", "Reimposta la password"),
    "users.link.all": (
        "Send the link to everybody without a password",
        "Invia il collegamento a chi è ancora senza password",
    ),
    "users.invited": ("{count} links are on their way.", "{count} collegamenti in arrivo."),
    "user.taken": ("{address} is somebody else's already.", "{address} appartiene già a qualcun altro."),
    "user.address": (
        "{address} is no address in one of your domains.",
        "{address} non è un indirizzo in uno dei tuoi domini.",
    ),
    "user.directory": (
        "Who comes from the directory is changed there.",
        "Chi proviene dalla directory si modifica lì.",
    ),
    "user.group": ("A group has no password.", "Un gruppo non ha password."),
    "done.user-added": ("Added.", "Aggiunto."),
    "done.user-changed": ("Changed.", "Modificato."),
    "done.user-removed": ("Removed.", "Rimosso."),
    # --- the users' console
    "held.title": ("Held messages", "Messaggi trattenuti"),
    "held.nav.senders": ("Senders", "Mittenti"),
    "held.nav.settings": ("Settings", "Impostazioni"),
    "held.none": ("Nothing is held for you.", "Nulla è trattenuto per te."),
    "held.none-found": ("No message was found.", "Nessun messaggio trovato."),
    "held.sender": ("Sender holds", "Il mittente contiene"),
    "held.subject": ("Subject holds", "L'oggetto contiene"),
    "held.everything": ("Show what has ended as well", "Mostra anche ciò che è concluso"),
    "held.choose": ("Choose", "Seleziona"),
    "held.choose-one": ("Choose {subject}", "Seleziona {subject}"),
    "held.no-subject": ("(no subject)", "(senza oggetto)"),
    "held.since": ("Held since", "Trattenuto dal"),
    "held.until": ("Kept until", "Conservato fino al"),
    "held.reason": ("Reason", "Motivo"),
    "held.note": ("Note", "Nota"),
    "held.chosen": ("What to do with the chosen ones", "Cosa fare dei messaggi selezionati"),
    "held.release": ("Deliver", "Recapita"),
    "held.ask": ("Ask for delivery", "Chiedi il recapito"),
    "held.release-or-ask": ("Deliver, or ask for it", "Recapita, o chiedi il recapito"),
    "held.ask.hint": (
        "Your administrators decide on mail like this. They see that you ask for it.",
        "Su messaggi come questo decidono i tuoi amministratori. Vedranno che lo chiedi.",
    ),
    "held.release.hint": (
        "It is scanned for viruses once more, and then delivered.",
        "Viene controllato ancora una volta contro i virus e poi recapitato.",
    ),
    "held.delete": ("Delete", "Elimina"),
    "held.clean": ("This is not spam", "Non è spam"),
    "held.spam": ("This is spam", "È spam"),
    "held.remember": (
        "And remember its sender: approve it, or block it",
        "E ricorda il mittente: approvalo o bloccalo",
    ),
    "held.preview": ("What it says", "Contenuto"),
    "held.preview.hint": (
        "Nothing is loaded from other servers, and links lead nowhere.",
        "Nulla viene caricato da altri server e i collegamenti non portano altrove.",
    ),
    "held.preview.frame": ("The message's text", "Testo del messaggio"),
    "held.unreadable": ("This message can't be shown.", "Questo messaggio non può essere mostrato."),
    "held.no-text": ("This message has no text to show.", "Questo messaggio non ha testo da mostrare."),
    "held.not-whole": ("Not all of it is shown.", "Non viene mostrato tutto."),
    "held.attachments": ("Attachments", "Allegati"),
    "held.state.held": ("held", "trattenuto"),
    "held.state.releasing": ("being scanned once more", "in corso di nuovo controllo"),
    "held.state.release-stopped": ("not delivered: a virus was found", "non recapitato: trovato un virus"),
    "held.state.released": ("delivered", "recapitato"),
    "held.state.deleted": ("deleted", "eliminato"),
    "held.state.expiring": ("expired", "scaduto"),
    "held.state.expired": ("expired", "scaduto"),
    "held.reported.clean": ("you said: not spam", "hai detto: non è spam"),
    "held.reported.spam": ("you said: spam", "hai detto: è spam"),
    "held.reported.wanted": ("asked for delivery", "recapito richiesto"),
    "held.nothing-chosen": ("Choose a message first.", "Selezionare prima un messaggio."),
    "done.held-release": ("On its way to you.", "In arrivo."),
    "done.held-ask": ("Your administrators were asked.", "La richiesta è stata inviata agli amministratori."),
    "done.held-delete": ("Deleted.", "Eliminato."),
    "done.held-clean": ("Thank you: noted as not spam.", "Grazie: segnato come non spam."),
    "done.held-spam": ("Thank you: noted as spam.", "Grazie: segnato come spam."),
    "senders.title": ("Approved and blocked senders", "Mittenti approvati e bloccati"),
    "senders.sender": ("Sender: an address, or @domain", "Mittente: un indirizzo, o @dominio"),
    "senders.for": ("For", "Per"),
    "senders.for-all-mine": ("all my addresses", "tutti i miei indirizzi"),
    "senders.for-everybody": ("everybody", "tutti"),
    "senders.list": ("List", "Elenco"),
    "senders.approved": ("approved", "approvato"),
    "senders.blocked": ("blocked", "bloccato"),
    "senders.add": ("Add a sender", "Aggiungi un mittente"),
    "senders.approve": ("Approve", "Approva"),
    "senders.block": ("Block", "Blocca"),
    "senders.remove-one": ("Remove {sender} for {address}", "Rimuovi {sender} per {address}"),
    "senders.hint": (
        "An approved sender's mail is not taken for spam; viruses and phishing are held all the same.",
        "La posta di un mittente approvato non è considerata spam; virus e phishing vengono trattenuti comunque.",
    ),
    "senders.later": (
        "A change counts within seconds; this list may be a moment behind.",
        "Una modifica vale in pochi secondi; questo elenco può essere in ritardo di un attimo.",
    ),
    "done.sender-changed": ("Changed.", "Modificato."),
    "settings.title": ("Settings", "Impostazioni"),
    "settings.addresses": ("Your addresses", "I tuoi indirizzi"),
    "settings.digest": ("Mail about what is held", "Posta su ciò che è trattenuto"),
    "settings.digest.wanted": ("Tell me by mail what was held", "Avvisami per posta di ciò che è stato trattenuto"),
    "settings.digest.none": (
        "Your organisation sends no such mail.",
        "La tua organizzazione non invia posta di questo tipo.",
    ),
    "settings.hours": ("At ({timezone})", "Alle ({timezone})"),
    "settings.days": ("On", "Nei giorni"),
    "settings.day.0": ("Monday", "lunedì"),
    "settings.day.1": ("Tuesday", "martedì"),
    "settings.day.2": ("Wednesday", "mercoledì"),
    "settings.day.3": ("Thursday", "giovedì"),
    "settings.day.4": ("Friday", "venerdì"),
    "settings.day.5": ("Saturday", "sabato"),
    "settings.day.6": ("Sunday", "domenica"),
    "settings.language": ("Language of pages and mail", "Lingua delle pagine e della posta"),
    "settings.no-time": (
        "Choose one hour and one day at least.",
        "Scegliere almeno un'ora e un giorno.",
    ),
    "done.settings-saved": ("Saved.", "Salvato."),
    "users.login-hint": (
        "Use the password of this service, or that of your organisation's directory.",
        "Usa la password di questo servizio, o quella della directory della tua organizzazione.",
    ),
    "users.login-away": (
        "Your organisation's directory does not answer. Please try again in a minute.",
        "La directory della tua organizzazione non risponde. Riprovare tra un minuto.",
    ),
    "users.forgot-hint": (
        "If the address is a user's, a link is sent to it. The link is good for a day.",
        "Se l'indirizzo è di un utente, verrà inviato un collegamento valido per un giorno.",
    ),
    "users.link-title": ("Choose your password", "Scegli la tua password"),
    "users.link-hint": (
        "Enter your address, to which this link was sent, and a new password.",
        "Inserisci il tuo indirizzo, al quale è stato inviato questo collegamento, e una nuova password.",
    ),
    "users.link-address": (
        "This link is not for that address.",
        "Questo collegamento non è per quell'indirizzo.",
    ),
    "users.not-understood": (
        "This is not understood; check what you wrote.",
        "Non compreso; controllare il testo.",
    ),
    "problem.users-busy": (
        "This can't be had right now. Your mail is safe; please try again in a minute.",
        "Al momento non è disponibile. La tua posta è al sicuro; riprovare tra un minuto.",
    ),
    # --- mails
    "mail.user-activate.subject": ("Your held mail at {service}", "La tua posta trattenuta su {service}"),
    "mail.user-activate.intro": (
        (
            "{service} checks your mail and holds what looks dangerous. To see what is held for you, open this link, "
            "enter your address and choose a password:"
        ),
        (
            "{service} controlla la tua posta e trattiene ciò che sembra pericoloso. Per vedere ciò che è trattenuto "
            "per te, apri questo collegamento, inserisci il tuo indirizzo e scegli una password:"
        ),
    ),
    "mail.user-activate.limit": (
        "The link works once, and for seven days.",
        "Il collegamento funziona una sola volta, per sette giorni.",
    ),
    "mail.wanted.subject": ("Users ask for held messages", "Utenti chiedono messaggi trattenuti"),
    "mail.wanted.intro": (
        "Users ask for messages that {service} holds for them, and that only you may release:",
        "Alcuni utenti chiedono messaggi che {service} trattiene per loro e che solo tu puoi rilasciare:",
    ),
    "mail.wanted.where": (
        "What was asked for is marked as wanted in the quarantine. This mail comes once an hour at most.",
        "Nella quarantena ciò che è stato chiesto è segnato come richiesto. Questa mail arriva al massimo ogni ora.",
    ),
    "mail.wish.released.subject": (
        "The message that you asked for is delivered",
        "Il messaggio richiesto viene consegnato",
    ),
    "mail.wish.released.intro": (
        "Your organisation has released a message that {service} held for you; it comes to your mailbox.",
        "L'organizzazione ha rilasciato un messaggio che {service} tratteneva per te; arriva nella tua casella.",
    ),
    "mail.wish.deleted.subject": (
        "The message that you asked for was not released",
        "Il messaggio richiesto non è stato rilasciato",
    ),
    "mail.wish.deleted.intro": (
        "Your organisation has deleted a message that you asked for and that {service} held for you.",
        "L'organizzazione ha eliminato un messaggio richiesto che {service} tratteneva per te.",
    ),
    "mail.wish.over.subject": (
        "The message that you asked for is held no longer",
        "Il messaggio richiesto non è più trattenuto",
    ),
    "mail.wish.over.intro": (
        "Nobody has released a message that you asked for, and the time for which {service} holds it is over.",
        "Nessuno ha rilasciato un messaggio richiesto, ed è scaduto il tempo per cui {service} lo trattiene.",
    ),
    "mail.wish.sender": ("From", "Da"),
    "mail.wish.about": ("Subject", "Oggetto"),
    "mail.user-reset.subject": ("A new password at {service}", "Una nuova password su {service}"),
    "mail.user-reset.intro": (
        "Open this link, enter your address and choose a new password for your held mail at {service}:",
        (
            "Apri questo collegamento, inserisci il tuo indirizzo e scegli una nuova password per la tua posta "
            "trattenuta su {service}:"
        ),
    ),
    "mail.user-reset.limit": (
        "The link works once, and for a day.",
        "Il collegamento funziona una sola volta, per un giorno.",
    ),
}
