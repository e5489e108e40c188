"""What people read about outgoing mail, in both languages: a part of `texts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OUTBOUND: Final[Mapping[str, tuple[str, str]]] = {
    "nav.outbound": ("Outgoing mail", "Posta in uscita"),
    "outbound.title": ("Outgoing mail", "Posta in uscita"),
    "outbound.on": (
        "On: your servers may send through Gatepost.",
        "Attiva: i tuoi server possono inviare tramite Gatepost.",
    ),
    "outbound.off": ("Off: nothing is taken from you.", "Disattivata: non viene accettato nulla da te."),
    "outbound.switch-on": ("Switch on", "Attiva"),
    "outbound.switch-off": ("Switch off", "Disattiva"),
    "outbound.trial": (
        "During a trial nothing is sent through Gatepost. It can be switched on with a licence.",
        "Durante la prova non si invia tramite Gatepost. Si può attivare con una licenza.",
    ),
    "outbound.nobody": (
        "Nobody could send: first add an account or the address of a server.",
        "Nessuno potrebbe inviare: prima aggiungi un account o l'indirizzo di un server.",
    ),
    "outbound.no-domain": (
        "There is no domain yet that mail is taken for.",
        "Non c'è ancora un dominio per cui si riceve posta.",
    ),
    "outbound.send.title": ("Where to send", "A chi inviare"),
    "outbound.send.hint": (
        "Have your server send to this host, always with TLS, and sign in or come from an address that is listed here.",
        "Fai inviare il tuo server a questo host, sempre con TLS, con accesso o da un indirizzo elencato qui.",
    ),
    "outbound.host": ("Host", "Host"),
    "outbound.ports": (
        "Port {starttls} with STARTTLS, or {tls} with TLS",
        "Porta {starttls} con STARTTLS, o {tls} con TLS",
    ),
    "outbound.addresses": ("Addresses and networks of your servers", "Indirizzi e reti dei tuoi server"),
    "outbound.addresses.hint": (
        "One a line, such as 192.0.2.10 or 198.51.100.0/28. They need no password.",
        "Uno per riga, ad esempio 192.0.2.10 o 198.51.100.0/28. Non serve una password.",
    ),
    "outbound.bad": ("That does not do: {problem}", "Non va bene: {problem}"),
    "outbound.accounts": ("Accounts that sign in", "Account che accedono"),
    "outbound.account": ("Account", "Account"),
    "outbound.account.hint": ("An address in one of your domains", "Un indirizzo in uno dei tuoi domini"),
    "outbound.account.add": ("Add, and make a password", "Aggiungi e crea una password"),
    "outbound.account.made": (
        "The password of {account}, shown this once:",
        "La password di {account}, mostrata solo ora:",
    ),
    "outbound.certificates": ("Certificates", "Certificati"),
    "outbound.certificates.hint": (
        "A server that shows one of these in TLS needs neither address nor password.",
        "A un server che ne mostra uno in TLS non servono né indirizzo né password.",
    ),
    "outbound.certificate": ("Certificate", "Certificato"),
    "outbound.certificate.hint": ("PEM: the server's own, or a CA's", "PEM: quello del server, o di una CA"),
    "outbound.certificate.names": ("Names that the CA vouches for", "Nomi garantiti dalla CA"),
    "outbound.certificate.names.hint": (
        "For a CA's alone, one a line: one of them has to be in the server's certificate",
        "Solo per una CA, uno per riga: uno di questi dev'essere nel certificato del server",
    ),
    "outbound.certificate.add": ("Add the certificate", "Aggiungi il certificato"),
    "outbound.certificate.until": ("valid until {date}", "valido fino al {date}"),
    "outbound.certificate.for": ("for {names}", "per {names}"),
    "outbound.limits": ("Limits", "Limiti"),
    "outbound.limits.hint": (
        "Fewer messages than the service takes in its window (ten minutes): a stolen password sends less.",
        "Meno messaggi di quanti ne accetti il servizio nel suo intervallo (dieci minuti).",
    ),
    "outbound.limits.sender": ("Messages of one sender", "Messaggi di un mittente"),
    "outbound.limits.customer": ("Messages of all senders", "Messaggi di tutti i mittenti"),
    "outbound.limits.none": ("as many as the service takes", "quanti ne accetta il servizio"),
    "outbound.dns.title": ("DNS of {domain}", "DNS di {domain}"),
    "outbound.found": ("Found", "Trovato"),
    "outbound.spf": ("SPF: add this to the domain's record", "SPF: aggiungi questo al record del dominio"),
    "outbound.dkim": ("DKIM", "DKIM"),
    "outbound.dkim.none": (
        "There are no keys: mail goes out unsigned.",
        "Non ci sono chiavi: la posta esce senza firma.",
    ),
    "outbound.dkim.signs": ("signs", "firma"),
    "outbound.dkim.idle": ("not in use", "non in uso"),
    "outbound.dkim.make": ("Make keys for {domain}", "Crea chiavi per {domain}"),
    "outbound.dkim.use": ("Sign with {name}", "Firma con {name}"),
    "outbound.dkim.remove": ("Remove {name}", "Rimuovi {name}"),
    "outbound.dkim.elsewhere": (
        "This console has no key for signing keys: the operator makes them with `gatepost dkim`.",
        "Questa console non ha la chiave per le chiavi di firma: le crea il gestore con `gatepost dkim`.",
    ),
    "outbound.dkim.taken": (
        "There are keys under both names: remove those that no longer sign.",
        "Ci sono chiavi con entrambi i nomi: rimuovi quelle che non firmano più.",
    ),
    "outbound.dkim.unpublished": (
        "Not every record of {name} is published: nobody could verify what it signs.",
        "Non tutti i record di {name} sono pubblicati: nessuno potrebbe verificare ciò che firma.",
    ),
    "outbound.dkim.in-use": ("{name} signs; it can't be removed.", "{name} firma; non si può rimuovere."),
    "outbound.dmarc": ("DMARC, if there is none yet", "DMARC, se non c'è ancora"),
    "outbound.dmarc.policy": ("policy {policy}", "criterio {policy}"),
    "outbound.said.right": ("as it should be", "come deve essere"),
    "outbound.said.missing": ("no record", "nessun record"),
    "outbound.said.several": ("several records, and there must be one", "più record, e deve essercene uno"),
    "outbound.said.wrong": ("a record that says something else", "un record che dice altro"),
    "outbound.said.unknown": ("no answer from DNS", "nessuna risposta dal DNS"),
    "done.outbound-on": (
        "Outgoing mail is on. A mail says how to go on.",
        "Posta in uscita attiva. Una mail spiega come continuare.",
    ),
    "done.outbound-off": ("Outgoing mail is off.", "Posta in uscita disattivata."),
    "done.outbound-saved": ("The addresses are saved.", "Gli indirizzi sono salvati."),
    "done.submitter-removed": ("The account is removed.", "L'account è rimosso."),
    "done.dkim-made": (
        "Keys are made. Publish their records, then let them sign.",
        "Chiavi create. Pubblica i record, poi falle firmare.",
    ),
    "done.dkim-used": (
        "Mail is signed with these keys within a minute.",
        "La posta è firmata con queste chiavi entro un minuto.",
    ),
    "done.dkim-removed": ("The keys are removed.", "Le chiavi sono rimosse."),
    "mail.outbound.subject": (
        "Outgoing mail of {customer}: the next steps",
        "Posta in uscita di {customer}: i prossimi passi",
    ),
    "mail.outbound.intro": (
        "{service} now takes outgoing mail of {customer}. Have your mail servers send to this host, always with TLS:",
        "{service} ora accetta posta in uscita di {customer}. Fai inviare i server a questo host, sempre con TLS:",
    ),
    "mail.outbound.host": ("Host", "Host"),
    "mail.outbound.starttls": ("Port, with STARTTLS", "Porta, con STARTTLS"),
    "mail.outbound.tls": ("Port, with TLS from the start", "Porta, con TLS dall'inizio"),
    "mail.outbound.spf": ("SPF of {domain}: add", "SPF di {domain}: aggiungi"),
    "mail.outbound.dmarc": ("DMARC, if there is none yet", "DMARC, se non c'è ancora"),
    "mail.outbound.dkim": (
        (
            "DKIM: make keys on the page below, publish the records that it shows, then let them sign. Until then mail "
            "goes out unsigned. The page also says what DNS says now."
        ),
        (
            "DKIM: crea le chiavi nella pagina indicata, pubblica i record che mostra, poi falle firmare. Fino ad "
            "allora la posta esce senza firma. La pagina mostra anche cosa dice ora il DNS."
        ),
    ),
    "mail.outbound.order": (
        "Change SPF before your servers send here: until then receivers may refuse what comes from us.",
        "Modifica SPF prima che i server inviino qui: fino ad allora i destinatari possono rifiutare la nostra posta.",
    ),
}
