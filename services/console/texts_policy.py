"""The catalogue's part about policies, lists of senders, protection and retention."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "nav.policies": ("Policies", "Criteri"),
    # --- the list
    "policies.title": ("Policies", "Criteri"),
    "policies.hint": (
        (
            "The rules are looked at in their order, for each recipient. The first one that delivers, holds or deletes "
            "decides; rules before it may mark and copy."
        ),
        (
            "Le regole sono valutate nell'ordine, per ogni destinatario. Decide la prima che consegna, trattiene o "
            "elimina; quelle precedenti possono contrassegnare e copiare."
        ),
    ),
    "policies.not-own": (
        "You have no rules of your own yet: these are Gatepost's. The first change makes them yours.",
        "Non ci sono ancora regole proprie: queste sono di Gatepost. La prima modifica le rende proprie.",
    ),
    "policies.yaml": ("All rules as YAML", "Tutte le regole in YAML"),
    "policies.yaml.label": ("The policy", "I criteri"),
    "policies.yaml.hint": (
        "As in the customers file, under “policy”. What is saved here replaces every rule.",
        "Come nel file dei clienti, sotto “policy”. Ciò che si salva sostituisce tutte le regole.",
    ),
    "policies.yaml.export": ("Download", "Scarica"),
    "policy.bad": ("This is no policy: {reason}", "Criteri non validi: {reason}"),
    "policy.changed": (
        "Somebody has changed the policy since you opened this page. Load it again and repeat the change.",
        "Qualcuno ha modificato i criteri dopo l'apertura di questa pagina. Ricaricarla e ripetere la modifica.",
    ),
    "policy.limits": (
        "The rule “{name}” is about more than your domains: it must name recipients, all of them in these.",
        "La regola “{name}” riguarda più dei propri domini: deve indicare i destinatari, tutti in questi.",
    ),
    "policy.taken": (
        "“{name}” is the name of another rule or group of the customer's: take another one.",
        "“{name}” è il nome di un'altra regola o di un altro gruppo del cliente: sceglierne un altro.",
    ),
    "policy.group-used": (
        "A rule for all of the customer names the group “{name}”: it has to stay.",
        "Una regola per l'intero cliente indica il gruppo “{name}”: deve restare.",
    ),
    "policies.limited": (
        "These rules are about your domains alone, and new ones stand first. Rules for all of the customer follow.",
        "Queste regole riguardano solo i propri domini; le nuove vengono prima. Seguono quelle dell'intero cliente.",
    ),
    "policy.busy": (
        "Others are looking back at the moment. Please try again in a minute.",
        "Altri stanno eseguendo la prova. Riprovare tra un minuto.",
    ),
    "done.policy-saved": ("Saved; it counts within seconds.", "Salvato; vale entro pochi secondi."),
    # --- unscanned mail
    "unscanned.title": ("Mail that can't be scanned", "Posta che non si può analizzare"),
    "unscanned.hint": (
        "What happens while a scanner can't tell. What the others found still counts.",
        "Cosa succede quando un'analisi non risponde. Ciò che trovano le altre vale comunque.",
    ),
    "unscanned.label": ("Then", "Allora"),
    "unscanned.hold": ("hold it and ask again (recommended)", "trattenere e riprovare (consigliato)"),
    "unscanned.quarantine": ("put it into quarantine", "mettere in quarantena"),
    "unscanned.deliver": ("deliver it with a header that says so", "consegnare con un'intestazione che lo dice"),
    # --- groups
    "groups.title": ("Groups of recipients", "Gruppi di destinatari"),
    "groups.label": ("Groups", "Gruppi"),
    "groups.hint": (
        "One a line, such as sales: ann@acme.example, @sales.acme.example. A rule names one as group:sales.",
        "Uno per riga, come vendite: ann@acme.example, @vendite.acme.example. Una regola lo nomina group:vendite.",
    ),
    # --- one rule
    "rule.new": ("New rule", "Nuova regola"),
    "rule.title": ("Rule {name}", "Regola {name}"),
    "rule.name": ("Name", "Nome"),
    "rule.name.hint": ("As traces and reports name it.", "Come appare in tracce e rapporti."),
    "rule.place": ("Place", "Posizione"),
    "rule.place.hint": ("1 is looked at first.", "1 è valutata per prima."),
    "rule.on": ("Switched on", "Attiva"),
    "rule.is-off": ("off", "disattivata"),
    "rule.up": ("Up", "Su"),
    "rule.down": ("Down", "Giù"),
    "rule.switch.off": ("Switch off", "Disattiva"),
    "rule.switch.on": ("Switch on", "Attiva"),
    "rule.default": ("default", "predefinita"),
    "rule.always": ("always", "sempre"),
    "rule.when": ("When", "Quando"),
    "rule.when.hint": (
        "Each condition that is filled in must hold; of several lines, one. With none, the rule always applies.",
        "Ogni condizione compilata deve valere; di più righe, una. Senza condizioni la regola vale sempre.",
    ),
    "rule.status": ("A scanner says", "Un'analisi dice"),
    "rule.scanner": ("Only this scanner", "Solo questa analisi"),
    "rule.scanner.hint": (
        "virus, content, urls, attachments, auth, impersonation or outbreak; whose status, score and evidence count.",
        "virus, content, urls, attachments, auth, impersonation o outbreak: contano solo i suoi risultati.",
    ),
    "rule.min-score": ("Score of at least", "Punteggio minimo"),
    "rule.min-score.hint": ("6 is suspicious, 15 is spam.", "6 è sospetto, 15 è spam."),
    "rule.evidence": ("Evidence", "Prove"),
    "rule.evidence.hint": (
        "Codes as the trace of a message shows them, one a line: ATTACHMENT_PROGRAM, OFFICE_MACRO, DMARC_REJECT.",
        "Codici come nella traccia di un messaggio, uno per riga: ATTACHMENT_PROGRAM, OFFICE_MACRO, DMARC_REJECT.",
    ),
    "rule.auth": ("Authentication", "Autenticazione"),
    "rule.auth.hint": (
        "One a line: dmarc=fail, spf=softfail, dkim=none.",
        "Una per riga: dmarc=fail, spf=softfail, dkim=none.",
    ),
    "rule.attachments": ("Attachments", "Allegati"),
    "rule.attachments.hint": (
        "Endings with their dot, or types by content, one a line; members of archives count: .exe, .js, zip, pdf.",
        "Estensioni con il punto o tipi, uno per riga; vale anche dentro gli archivi: .exe, .js, zip, pdf.",
    ),
    "rule.senders": ("Senders", "Mittenti"),
    "rule.recipients": ("Recipients", "Destinatari"),
    "rule.recipients.hint": (
        "Addresses, @domain, group:name, or directory:name for a group of the directory, one a line.",
        "Indirizzi, @dominio, group:nome, o directory:nome per un gruppo della directory, uno per riga.",
    ),
    "rule.addresses.hint": ("Addresses or @domain, one a line.", "Indirizzi o @dominio, uno per riga."),
    "rule.min-size": ("Size of at least", "Dimensione minima"),
    "rule.max-size": ("Size of at most", "Dimensione massima"),
    "rule.size.hint": ("Such as 10MB or 500KB.", "Ad esempio 10MB o 500KB."),
    "rule.does": ("What is done", "Cosa si fa"),
    "rule.then": ("The message is", "Il messaggio"),
    "rule.then.hint": (
        "Each but the first ends the matter: no rule after it is looked at.",
        "Ogni scelta tranne la prima conclude: nessuna regola successiva è valutata.",
    ),
    "rule.tag": ("Tag before the subject", "Etichetta prima dell'oggetto"),
    "rule.tag.hint": ("Such as [SPAM].", "Ad esempio [SPAM]."),
    "rule.headers": ("Headers to add", "Intestazioni da aggiungere"),
    "rule.headers.hint": ("One a line: X-Spam-Flag: YES", "Una per riga: X-Spam-Flag: YES"),
    "rule.header": (
        "A header is written “Name: value”, each name once: {line}",
        "Un'intestazione si scrive “Nome: valore”, ogni nome una volta: {line}",
    ),
    "rule.stamp": ("Text below the message", "Testo sotto il messaggio"),
    "rule.stamp.hint": (
        "At the end of its text and its HTML. Signed or encrypted mail stays as it is; a DKIM signature ends to hold.",
        "In fondo a testo e HTML. Ciò che è firmato o cifrato resta com'è; una firma DKIM non vale più.",
    ),
    "rule.strip": ("Attachments to take out", "Allegati da rimuovere"),
    "rule.strip.hint": (
        (
            "One a line: all, dangerous (what acts when it is opened), sealed (encrypted mail), endings or types "
            "(.exe, zip), or a pattern of names (invoice*.doc?). A note takes their place; a signature around them "
            "goes too."
        ),
        (
            "Uno per riga: all (tutti), dangerous (ciò che agisce all'apertura), sealed (posta cifrata), estensioni o "
            "tipi (.exe, zip), o un modello di nome (fattura*.doc?). Una nota ne prende il posto; una firma attorno è "
            "rimossa."
        ),
    ),
    "rule.redirect": ("Redirect to", "Reindirizza a"),
    "rule.redirect.hint": (
        "Instead of the recipient. An address elsewhere is handed to your own mail server.",
        "Al posto del destinatario. Un indirizzo esterno è affidato al proprio server di posta.",
    ),
    "rule.bcc": ("Copies to", "Copie a"),
    "rule.bcc.hint": (
        "Addresses, one a line; each gets what the recipient gets. Held mail is copied when it is released.",
        (
            "Indirizzi, uno per riga; ognuno riceve ciò che riceve il destinatario. La posta trattenuta è copiata "
            "al rilascio."
        ),
    ),
    "rule.notify": ("Tell", "Avvisa"),
    "rule.notify.hint": (
        "Addresses, one a line; each gets a mail that says what was done and why, without the message.",
        "Indirizzi, uno per riga; ognuno riceve un avviso con cosa è stato fatto e perché, senza il messaggio.",
    ),
    "rule.try": ("Try on the last 7 days", "Prova sugli ultimi 7 giorni"),
    "rule.try-without": ("Try without it", "Prova senza"),
    # --- in words
    "status.clean": ("clean", "pulito"),
    "status.suspicious": ("suspicious", "sospetto"),
    "status.spam": ("spam", "spam"),
    "status.phishing": ("phishing", "phishing"),
    "status.virus": ("virus", "virus"),
    "status.unavailable": ("can't tell", "non risponde"),
    "treatment.go-on": ("go on with the next rule", "prosegue con la regola successiva"),
    "treatment.deliver": ("deliver", "consegna"),
    "treatment.quarantine": ("hold in quarantine", "trattiene in quarantena"),
    "treatment.delete": ("delete", "elimina"),
    "treatment.hold": ("wait for a scanner", "attende un'analisi"),
    "treatment.withdraw": ("withdraw", "ritira"),
    "treatment.nothing": ("nothing", "niente"),
    "when.status": ("a scanner says {names}", "un'analisi dice {names}"),
    "when.scanner": ("only {name}", "solo {name}"),
    "when.min-score": ("score of {score} or more", "punteggio {score} o più"),
    "when.evidence": ("evidence {codes}", "prove {codes}"),
    "when.auth": ("{results}", "{results}"),
    "when.attachments": ("attachment {kinds}", "allegato {kinds}"),
    "when.senders": ("from {names}", "da {names}"),
    "when.recipients": ("to {names}", "a {names}"),
    "when.min-size": ("{size} or larger", "{size} o più"),
    "when.max-size": ("{size} or smaller", "{size} o meno"),
    "does.redirect": ("redirect to {address}", "reindirizza a {address}"),
    "does.tag": ("tag the subject {tag}", "contrassegna l'oggetto {tag}"),
    "does.stamp": ("put below: {text}", "aggiunge in fondo: {text}"),
    "does.refuse": ("tell its sender", "avvisa il mittente"),
    "does.encrypt": ("only over verified TLS", "solo con TLS verificato"),
    "does.strip": ("take out attachments: {kinds}", "rimuove gli allegati: {kinds}"),
    "does.bcc": ("copy to {address}", "copia a {address}"),
    "does.notify": ("tell {address}", "avvisa {address}"),
    # --- what-if
    "whatif.title": ("What this would have done", "Cosa sarebbe successo"),
    "whatif.count": (
        "{messages} messages looked at in {seconds} s; {otherwise} would be treated otherwise. Nothing is saved.",
        "{messages} messaggi esaminati in {seconds} s; {otherwise} trattati diversamente. Nulla è stato salvato.",
    ),
    "whatif.partly": (
        "There was only time to go back to {since}.",
        "Il tempo è bastato solo per risalire fino al {since}.",
    ),
    "whatif.unreadable": (
        "{count} messages were left out: not everything is known of them.",
        "{count} messaggi esclusi: non se ne conosce tutto.",
    ),
    "whatif.changes": ("Changes", "Modifiche"),
    "whatif.examples": ("Examples", "Esempi"),
    "whatif.before": ("As it is", "Ora"),
    "whatif.after": ("As it would be", "Con la modifica"),
    "whatif.recipients": ("Recipients", "Destinatari"),
    "whatif.message": ("Message", "Messaggio"),
    # --- senders
    "nav.senders": ("Senders", "Mittenti"),
    "nav.settings": ("Settings", "Impostazioni"),
    "listed.title": ("Approved and blocked senders", "Mittenti approvati e bloccati"),
    "listed.hint": (
        (
            "What is said for a recipient counts before his domain, and that before all; the full address before its "
            "domain. An approved sender is never taken for a spammer, once it is shown that the mail is really from "
            "there; viruses and phishing are held all the same. Mail of a blocked sender goes into quarantine."
        ),
        (
            "Ciò che vale per un destinatario conta prima del suo dominio, e questo prima di tutti; l'indirizzo "
            "prima del dominio. Un mittente approvato non è mai considerato spam, se è dimostrato che la posta viene "
            "da lì; virus e phishing sono trattenuti comunque. La posta di un mittente bloccato va in quarantena."
        ),
    ),
    "listed.search": ("Search", "Cerca"),
    "listed.for-recipient": ("What counts for recipient", "Cosa vale per il destinatario"),
    "listed.text": ("Sender holds", "Il mittente contiene"),
    "listed.sender": ("Sender", "Mittente"),
    "listed.for": ("For", "Per"),
    "listed.list": ("List", "Elenco"),
    "listed.list.approved": ("approved", "approvato"),
    "listed.list.blocked": ("blocked", "bloccato"),
    "listed.by": ("By", "Da"),
    "listed.more": ("{count} more are not shown: search.", "Altri {count} non mostrati: usare la ricerca."),
    "listed.change": ("Add or change", "Aggiungi o modifica"),
    "listed.names": ("Senders", "Mittenti"),
    "listed.names.hint": ("Addresses or @domain, one a line.", "Indirizzi o @dominio, uno per riga."),
    "listed.for.hint": (
        "all, @domain of yours, or the address of a recipient of yours.",
        "all (tutti), un proprio @dominio o l'indirizzo di un proprio destinatario.",
    ),
    "listed.approve": ("Approve", "Approva"),
    "listed.block": ("Block", "Blocca"),
    "listed.bad": (
        "“{name}” for “{whom}”: one of them is no address or @domain, or not yours.",
        "“{name}” per “{whom}”: uno dei due non è un indirizzo o @dominio, o non è proprio.",
    ),
    "listed.limits": (
        "“{whom}”: your account lists senders for its own domains, as @domain, and for recipients in them.",
        "“{whom}”: questo account elenca mittenti per i propri domini, come @dominio, e per i loro destinatari.",
    ),
    "listed.recipient": ("“{name}” is no address of yours.", "“{name}” non è un proprio indirizzo."),
    "listed.many": ("There are {most} entries: that is the most.", "Ci sono {most} voci: è il massimo."),
    "done.senders-changed": ("Saved; it counts within seconds.", "Salvato; vale entro pochi secondi."),
    # --- protection, TLS, retention
    "hosts.title": ("Hosts", "Host"),
    "hosts.hint": (
        "Servers that mail comes to you from, by address. Those that send for you are listed under",
        "Server da cui ti arriva posta, per indirizzo. Quelli che inviano per te sono elencati in",
    ),
    "hosts.allow": ("Let in", "Ammessi"),
    "hosts.allow.hint": (
        "One a line, addresses or networks. Neither reputation nor greylisting is asked; mail is scanned as ever.",
        "Uno per riga, indirizzi o reti. Niente reputazione né greylisting; la posta è analizzata come sempre.",
    ),
    "hosts.block": ("Kept out", "Esclusi"),
    "hosts.block.hint": ("One a line: nothing is taken from them", "Uno per riga: non si accetta nulla da questi"),
    "hosts.forwarders": ("Forwarders", "Chi inoltra"),
    "hosts.forwarders.hint": (
        "One a line: they forward to you what others wrote. DMARC that fails for that is held against nobody.",
        "Uno per riga: ti inoltrano posta di altri. Il DMARC che fallisce per questo non si imputa a nessuno.",
    ),
    "hosts.bad": ("That does not do: {reason}", "Non va bene: {reason}"),
    "settings.sections": ("Settings", "Impostazioni"),
    "done.mail-saved": ("Saved; it counts within seconds.", "Salvato; vale entro pochi secondi."),
    "protection.title": ("Protected names", "Nomi protetti"),
    "protection.hint": (
        "Whom somebody who deceives you would pretend to be. Mail under these names from elsewhere is marked or held.",
        "Chi fingerebbe di essere un impostore. La posta a questi nomi da altrove è segnalata o trattenuta.",
    ),
    "protection.persons": ("Persons", "Persone"),
    "protection.persons.hint": (
        "Full names, one a line; behind a colon other addresses that are theirs: Erika Muster: erika@home.test",
        "Nomi completi, uno per riga; dopo i due punti altri loro indirizzi veri: Erika Muster: erika@home.test",
    ),
    "protection.partners": ("Partners", "Partner"),
    "protection.partners.hint": (
        "Their domains, one a line: look-alikes are looked for, as for your own.",
        "I loro domini, uno per riga: se ne cercano le imitazioni, come per i propri.",
    ),
    "protection.brands": ("Brands", "Marchi"),
    "protection.brands.hint": (
        "Names that only these domains may use, one a line: Acme Rocket: acmerocket.test, acme.test",
        "Nomi che solo questi domini possono usare, uno per riga: Acme Rocket: acmerocket.test, acme.test",
    ),
    "protection.allowed": ("Look-alikes that are in order", "Imitazioni ammesse"),
    "protection.allowed.hint": ("Domains, one a line.", "Domini, uno per riga."),
    "protection.bad": ("This can't be protected: {reason}", "Protezione non valida: {reason}"),
    "tls.title": ("TLS to your mail servers", "TLS verso i propri server"),
    "tls.hint": (
        (
            "When offered: encrypted if the host can. Required: mail waits rather than go unencrypted. With the "
            "certificate checked, it must name the host. Hosts found by MX records follow DANE and MTA-STS beside this."
        ),
        (
            "Se disponibile: cifrato se il server lo permette. Obbligatorio: la posta attende piuttosto che andare in "
            "chiaro. Con verifica, il certificato deve nominare il server. I server dei record MX seguono anche DANE e "
            "MTA-STS."
        ),
    ),
    "tls.level": ("TLS to {host}", "TLS verso {host}"),
    "tls.none": ("No domain has a host yet.", "Nessun dominio ha ancora un server."),
    "tls.changed": (
        "The hosts were changed since you opened this page. Load it again.",
        "I server sono cambiati dopo l'apertura di questa pagina. Ricaricarla.",
    ),
    "relay.pinned": (
        "The certificates for {host} are named in the customers file, and it has none there.",
        "I certificati per {host} si indicano nel file dei clienti, e lì non ce ne sono.",
    ),
    "retention.helpdesk": (
        "The help desk may read held mail in the quarantine",
        "L'help desk può leggere la posta trattenuta in quarantena",
    ),
    "retention.title": ("Retention", "Conservazione"),
    "retention.queue": ("Days that mail waits for your servers", "Giorni di attesa per i propri server"),
    "retention.queue.hint": (
        "1 to 10. Mail that waits was promised this long, so it can only be made longer.",
        "Da 1 a 10. È promesso alla posta in attesa, quindi si può solo allungare.",
    ),
    "retention.warning": ("Hours until a sender is told of a delay", "Ore prima di avvisare il mittente di un ritardo"),
    "retention.warning.hint": ("0 to 240; 0: never.", "Da 0 a 240; 0: mai."),
    "retention.quarantine": ("Days that mail is held in quarantine", "Giorni di quarantena"),
    "retention.quarantine.hint": (
        "1 to 30; counts for mail that is held from now on.",
        "Da 1 a 30; vale per la posta trattenuta d'ora in poi.",
    ),
    "retention.replay": ("Hours that a copy of delivered mail is kept", "Ore di conservazione della posta consegnata"),
    "retention.replay.hint": (
        "0 to 72, so that it can be looked at again with better scanners; 0: nothing is kept.",
        "Da 0 a 72, per riesaminarla con analisi migliori; 0: nulla è conservato.",
    ),
    "retention.promised": (
        "{days} days were promised, and can't become fewer.",
        "Promessi {days} giorni: non di meno.",
    ),
}
