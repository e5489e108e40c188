"""Everything that people read in pages and mails, in both languages. A language is complete or a test fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.console import texts_policy, texts_traffic
from services.console.texts_data_loss import DATA_LOSS
from services.console.texts_outbound import OUTBOUND
from services.console.texts_signin import SIGNIN
from services.console.users.texts import USERS

LANGUAGES: Final = ("en", "it")

_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    **texts_policy.TEXTS,
    **texts_traffic.TEXTS,
    **OUTBOUND,
    **DATA_LOSS,
    # --- frame
    "skip": ("Skip to the content", "Vai al contenuto"),
    "nav": ("Main", "Principale"),
    "nav.overview": ("Overview", "Panoramica"),
    "nav.domains": ("Domains", "Domini"),
    "nav.directory": ("Directory", "Directory"),
    "nav.messages": ("Messages", "Messaggi"),
    "nav.accounts": ("Accounts", "Account"),
    "nav.users": ("Users", "Utenti"),
    "nav.tokens": ("API tokens", "Token API"),
    "nav.audit": ("Audit log", "Registro modifiche"),
    "nav.licence": ("Licence", "Licenza"),
    "nav.customers": ("Customers", "Clienti"),
    "nav.purges": ("Deleted data", "Dati eliminati"),
    "nav.me": ("Your sessions", "Le tue sessioni"),
    "logout": ("Log out", "Esci"),
    "signed-in": ("Signed in as {address}", "Accesso eseguito come {address}"),
    "error": ("Not done", "Operazione non eseguita"),
    "next-page": ("Next page", "Pagina successiva"),
    "none": ("Nothing here yet.", "Ancora nulla qui."),
    "save": ("Save", "Salva"),
    "remove": ("Remove", "Rimuovi"),
    "name": ("Name", "Nome"),
    "state": ("State", "Stato"),
    "address": ("E-mail address", "Indirizzo e-mail"),
    "language": ("Language", "Lingua"),
    "language.en": ("English", "Inglese"),
    "language.it": ("Italian", "Italiano"),
    "role": ("Role", "Ruolo"),
    "when": ("When", "Quando"),
    "action": ("Action", "Azione"),
    # --- banner
    **USERS,
    "banner.trial": ("Trial: {days} days left.", "Prova: restano {days} giorni."),
    "banner.grace": (
        "The licence has ended. Everything goes on for {days} more days; please renew.",
        "La licenza è scaduta. Tutto continua per altri {days} giorni; si prega di rinnovare.",
    ),
    "banner.lapsed": (
        "The licence has lapsed. Enter a registration key to go on; every setting is kept.",
        "La licenza è decaduta. Inserire una chiave di registrazione per continuare; ogni impostazione è conservata.",
    ),
    "banner.purge": (
        "The licence lapsed long ago, and the data may be deleted. Enter a registration key to keep it.",
        "La licenza è decaduta da tempo e i dati possono essere eliminati. Inserire una chiave per conservarli.",
    ),
    "banner.over": (
        "The directory has {counted} users; the licence is for {users}. Please renew for more.",
        "La directory contiene {counted} utenti; la licenza è per {users}. Si prega di rinnovare per più utenti.",
    ),
    # --- way in
    "login.title": ("Log in", "Accedi"),
    "login.password": ("Password", "Password"),
    "login.forgot": ("Forgotten your password?", "Password dimenticata?"),
    "login.wrong": ("Address or password is wrong.", "Indirizzo o password errati."),
    "login.wait": (
        "Too many attempts. Please wait a quarter of an hour.",
        "Troppi tentativi. Attendere un quarto d'ora.",
    ),
    "forgot.title": ("A new password", "Una nuova password"),
    "forgot.hint": (
        "If there is an account for the address, a link is sent to it. The link is good for an hour.",
        "Se esiste un account per l'indirizzo, verrà inviato un collegamento valido per un'ora.",
    ),
    "forgot.send": ("Send the link", "Invia il collegamento"),
    "link.title": ("Choose a password", "Scegli una password"),
    "link.for": ("For {address}", "Per {address}"),
    "link.again": ("The same again", "Ripeti la password"),
    "link.hint": (
        "At least 12 characters. Several words are easier to remember than signs.",
        "Almeno 12 caratteri. Più parole si ricordano meglio dei simboli.",
    ),
    "link.bad": (
        "This link is not valid: it was used, or is too old. Ask for a new one.",
        "Questo collegamento non è valido: è stato usato o è scaduto. Richiederne uno nuovo.",
    ),
    "signup.title": ("Begin a trial", "Inizia una prova"),
    "signup.hint": (
        "We send you a link; with it the trial begins. Nothing changes in your mail before you say so.",
        "Ti inviamo un collegamento con cui inizia la prova. Nella tua posta nulla cambia prima che tu lo dica.",
    ),
    "signup.name": ("Name of your organisation", "Nome della tua organizzazione"),
    "signup.send": ("Send the link", "Invia il collegamento"),
    "signup.begin.title": ("Your trial", "La tua prova"),
    "signup.begin.hint": (
        "For {address}. Next you choose a password.",
        "Per {address}. Poi si sceglie una password.",
    ),
    "signup.begin": ("Begin", "Inizia"),
    "prove.title": ("Whose domain it is", "A chi appartiene il dominio"),
    "prove.hint": (
        "The customer {customer} says that {name} is his, and its mail to go through this service. Is that right?",
        "Il cliente {customer} afferma che {name} è suo e che la posta passa da questo servizio. È corretto?",
    ),
    "prove.confirm": ("Yes, {name} is theirs", "Sì, {name} appartiene a loro"),
    "prove.done": ("{name} is proved. You can close this page.", "{name} è dimostrato. Puoi chiudere questa pagina."),
    "proof.wait": (
        "Enough such mails were sent for now. Please wait a quarter of an hour.",
        "Per ora sono stati inviati abbastanza messaggi. Attendere un quarto d'ora.",
    ),
    "password.short": ("The password is shorter than 12 characters.", "La password ha meno di 12 caratteri."),
    "password.long": ("The password is longer than 256 characters.", "La password supera i 256 caratteri."),
    "password.guessable": ("The password is too easy to guess.", "La password è troppo facile da indovinare."),
    "password.differ": ("The two passwords are not the same.", "Le due password non coincidono."),
    # --- customers
    "customers.title": ("Customers", "Clienti"),
    "kept.title": ("Kept by the customers file", "Mantenuti dal file dei clienti"),
    "kept.hint": (
        "Their settings are changed in the file, and they have no pages.",
        "Le loro impostazioni si modificano nel file, e non hanno pagine.",
    ),
    "kept.why": (
        "{id} is kept by the customers file (gatepost customers apply): it can only be looked at here.",
        "{id} è mantenuto dal file dei clienti (gatepost customers apply): qui si può solo vedere.",
    ),
    "kept.take": ("Take over into the console", "Acquisisci nella console"),
    "kept.take.hint": (
        "From now on it is kept here, just as it is, and the file may no longer name it. Then invite its owner.",
        "D'ora in poi è mantenuto qui, così com'è, e il file non può più nominarlo. Poi invita il titolare.",
    ),
    "kept.listed": (
        "Its recipients are listed by address, and only the file has the addresses: import that.",
        "I destinatari sono elencati per indirizzo, e gli indirizzi sono solo nel file: importa quello.",
    ),
    "done.taken-over": ("Taken over. Now invite its owner.", "Acquisito. Ora invita il titolare."),
    "customers.add": ("Invite a customer", "Invita un cliente"),
    "customers.id": ("Id", "Id"),
    "customers.id.hint": (
        "a-z, 0-9 and -; part of every object's key, so it never changes",
        "a-z, 0-9 e -; fa parte delle chiavi degli oggetti e non cambia mai",
    ),
    "customers.owner": ("The owner's e-mail address", "Indirizzo e-mail del titolare"),
    "customers.region": ("Region", "Regione"),
    "customers.count": ("Domains", "Domini"),
    "customers.invite": ("Invite", "Invita"),
    "customer.export": ("Export as YAML", "Esporta come YAML"),
    "customer.remove": ("Remove this customer", "Rimuovi questo cliente"),
    "customer.remove.hint": (
        "Mail to its domains is refused from then on. Type the id {id} to confirm.",
        "La posta per i suoi domini verrà rifiutata. Digitare l'id {id} per confermare.",
    ),
    "customer.confirm": (
        "The id does not match; nothing was removed.",
        "L'id non corrisponde; nulla è stato rimosso.",
    ),
    "customer.taken": ("There is, or was, a customer {id} already.", "Esiste, o esisteva, già un cliente {id}."),
    "customer.steps": ("What to do next", "Prossimi passi"),
    "customer.step.domain": ("Add your domain", "Aggiungi il tuo dominio"),
    "customer.step.proof": ("Prove that {name} is yours", "Dimostra che {name} è tuo"),
    "customer.step.relay": ("Say where mail for {name} goes", "Indica dove va la posta di {name}"),
    "customer.step.mx": ("Check the MX record of {name}", "Controlla il record MX di {name}"),
    "region.unknown": ("There is no such region; there are {regions}.", "Regione inesistente; ci sono {regions}."),
    "purges.title": ("Deleted data", "Dati eliminati"),
    "purges.hint": (
        "Customers whose licence lapsed and whose time is over. Each certificate says what was deleted, and is signed.",
        "Clienti la cui licenza è decaduta da tempo. Ogni certificato indica che cosa è stato eliminato, ed è firmato.",
    ),
    "purges.lapsed": ("Licence lapsed", "Licenza decaduta"),
    "purges.begun": ("Deletion begun", "Eliminazione iniziata"),
    "purges.ended": ("Ended", "Terminata"),
    "purges.certificate": ("Certificate", "Certificato"),
    "purges.download": ("Download", "Scarica"),
    "purges.download-for": ("Download the certificate for {id}", "Scarica il certificato per {id}"),
    "purges.running": ("under way", "in corso"),
    # --- domains
    "domains.title": ("Domains", "Domini"),
    "domains.add": ("Add a domain", "Aggiungi un dominio"),
    "domains.name": ("Domain name", "Nome di dominio"),
    "domain.state.claimed": ("not proved yet", "non ancora dimostrato"),
    "domain.state.proved": ("proved; no host to relay to yet", "dimostrato; nessun server di destinazione"),
    "domain.state.publishing": ("being published", "in pubblicazione"),
    "domain.state.live": ("mail is taken", "la posta viene accettata"),
    "domain.bad": ("This is not a full domain name, such as acme.example.", "Non è un nome di dominio completo."),
    "domain.known": ("{name} is in your list already.", "{name} è già nell'elenco."),
    "domain.many": ("{most} domains wait for their proof; prove some first.", "{most} domini attendono la prova."),
    "domain.taken": ("{name} is another customer's.", "{name} appartiene a un altro cliente."),
    "domain.not-proved": (
        "{name} has no such TXT record yet. A new record may take a while to be seen.",
        "{name} non ha ancora questo record TXT. Un nuovo record può richiedere tempo.",
    ),
    "domain.no-answer": (
        "The name servers of {name} did not answer. Please try again.",
        "I server dei nomi di {name} non hanno risposto. Riprova.",
    ),
    "domain.proof.title": ("1. Prove that it is yours", "1. Dimostra che è tuo"),
    "domain.proof.hint": (
        "Add this TXT record to the zone, then check it.",
        "Aggiungi questo record TXT alla zona, poi verifica.",
    ),
    "domain.proof.check": ("Check the record", "Verifica il record"),
    "domain.proof.done": ("Proved.", "Dimostrato."),
    "domain.mail.title": ("Or by mail", "Oppure per posta"),
    "domain.mail.hint": (
        "A link goes to an address that only who runs {name} reads, by the domain's present MX records.",
        "Un collegamento va a un indirizzo letto solo da chi gestisce {name}, secondo gli attuali record MX.",
    ),
    "domain.mail.send": ("Send the link", "Invia il collegamento"),
    "domain.relay.title": ("2. Your mail servers", "2. I tuoi server di posta"),
    "domain.relay.label": ("Hosts, one a line, best first", "Server, uno per riga, il preferito per primo"),
    "domain.relay.hint": (
        "HOST, HOST:PORT, [IPv6]:PORT, or mx:NAME and srv:NAME for what those records list.",
        "HOST, HOST:PORTA, [IPv6]:PORTA, oppure mx:NOME e srv:NOME per ciò che elencano quei record.",
    ),
    "domain.tls": ("TLS to these hosts", "TLS verso questi server"),
    "domain.tls.": ("when offered", "se disponibile"),
    "domain.tls.keep": ("as each host has it", "come impostato per ogni server"),
    "domain.tls.opportunistic": ("when offered", "se disponibile"),
    "domain.tls.pinned": ("required, own certificates", "obbligatorio, certificati propri"),
    "domain.tls.none": ("never", "mai"),
    "domain.tls.required": ("required", "obbligatorio"),
    "domain.tls.verified": ("required, certificate checked", "obbligatorio, certificato verificato"),
    "domain.recipients": ("Recipients", "Destinatari"),
    "domain.recipients.any": ("any: your MTA knows them", "qualsiasi: li conosce il tuo MTA"),
    "domain.recipients.directory": ("only those of the directory", "solo quelli della directory"),
    "domain.test.title": ("3. Delivery test", "3. Prova di consegna"),
    "domain.test.hint": (
        "Sends a test message to the first host and shows what was said.",
        "Invia un messaggio di prova al primo server e mostra il dialogo.",
    ),
    "domain.test.recipient": ("Recipient of the test", "Destinatario della prova"),
    "domain.test.send": ("Send a test message", "Invia un messaggio di prova"),
    "domain.test.good": ("Your server took the message.", "Il tuo server ha accettato il messaggio."),
    "domain.test.not-good": (
        "Your server did not take the message; the last lines say why.",
        "Il tuo server non ha accettato il messaggio; le ultime righe dicono perché.",
    ),
    "domain.mx.title": ("4. Point the MX record here", "4. Punta qui il record MX"),
    "domain.mx.wanted": ("The zone of {name} should say:", "La zona di {name} deve contenere:"),
    "domain.mx.found": ("It says now: {found}", "Ora contiene: {found}"),
    "domain.mx.nothing": ("no MX record", "nessun record MX"),
    "domain.mx.unknown": ("no answer from its name servers", "nessuna risposta dai suoi server dei nomi"),
    "domain.mx.right": ("The MX record points here.", "Il record MX punta qui."),
    "domain.mx.wrong": (
        (
            "The MX record does not point here yet. Others may see a change up to 48 hours late, for as long as "
            "the old record's time to live."
        ),
        (
            "Il record MX non punta ancora qui. Altri possono vedere una modifica con un ritardo fino a 48 ore, "
            "secondo il TTL del vecchio record."
        ),
    ),
    "domain.mx.test.hint": (
        "Sends a test message as anybody's mail would come: to the host that the MX record names now.",
        "Invia un messaggio di prova come arriverebbe la posta di chiunque: al server indicato ora dal record MX.",
    ),
    "domain.mx.test.send": ("Send it by the MX record", "Invialo tramite il record MX"),
    "domain.mx.test.good": (
        "The host that the MX record names took it.",
        "Il server indicato dal record MX lo ha accettato.",
    ),
    "domain.mx.test.not-good": (
        "It was not taken; the last lines say why.",
        "Non è stato accettato; le ultime righe dicono perché.",
    ),
    "domain.mx.test.trace": ("See what became of it", "Guarda che fine ha fatto"),
    "domain.mx.networks": (
        "Let these addresses reach your mail servers on port 25, and take mail from no others:",
        "Consenti a questi indirizzi di raggiungere i tuoi server di posta sulla porta 25, e a nessun altro:",
    ),
    "domain.remove.hint": (
        "Mail to the domain is refused from then on.",
        "La posta per il dominio verrà rifiutata.",
    ),
    "relay.bad": ("{host} is no host of the form asked for.", "{host} non è un server nella forma richiesta."),
    "relay.twice": ("A host is listed twice.", "Un server è elencato due volte."),
    "relay.empty": ("Name one host at least.", "Indicare almeno un server."),
    "relay.none": ("There is no such host; save the hosts first.", "Server inesistente; salvare prima i server."),
    "relay.private": (
        "{host} is not reachable from the Internet, and this service connects to no private addresses.",
        "{host} non è raggiungibile da Internet, e questo servizio non si collega a indirizzi privati.",
    ),
    "address.bad": ("This is not an e-mail address.", "Non è un indirizzo e-mail."),
    "address.elsewhere": ("The address is not in {name}.", "L'indirizzo non è in {name}."),
    # --- directory
    "directory.title": ("Directory", "Directory"),
    "directory.hint": (
        "Who has an address here: by LDAP, by an uploaded list, or both. Domains may take mail for these alone.",
        "Chi ha un indirizzo qui: via LDAP, con un elenco caricato, o entrambi. Un dominio può accettare solo questi.",
    ),
    "directory.ldap": ("LDAP directories", "Directory LDAP"),
    "directory.url": ("Server", "Server"),
    "directory.url.hint": (
        "ldaps://HOST, or ldap://HOST with StartTLS",
        "ldaps://HOST, o ldap://HOST con StartTLS",
    ),
    "directory.name.hint": ("a-z, 0-9 and -", "a-z, 0-9 e -"),
    "directory.base": ("Look below", "Cerca sotto"),
    "directory.base.hint": ("for example dc=acme,dc=example", "per esempio dc=acme,dc=example"),
    "directory.filter": ("Filter", "Filtro"),
    "directory.filter.hint": (
        "Empty: every entry with a mail address.",
        "Vuoto: ogni voce con un indirizzo e-mail.",
    ),
    "directory.groups": ("Groups for rules", "Gruppi per le regole"),
    "directory.groups.hint": (
        "Names of groups, in lower case with - for blanks, or * for all; rules write them as directory:sales.",
        "Nomi di gruppi, in minuscolo con - al posto degli spazi, o * per tutti; nelle regole: directory:vendite.",
    ),
    "directory.grouped": ("Groups of addresses", "Gruppi di indirizzi"),
    "directory.group": ("Group", "Gruppo"),
    "directory.group.before": ("Addresses now", "Indirizzi ora"),
    "directory.group.after": ("Addresses then", "Indirizzi dopo"),
    "directory.bad-group": (
        "{name} is no name of a group: a-z, 0-9 and -, or *.",
        "{name} non è un nome di gruppo: a-z, 0-9 e -, oppure *.",
    ),
    "directory.bind": ("Log in as (DN)", "Accedi come (DN)"),
    "directory.bind.hint": (
        "An account that may read and nothing else. Empty: anonymous.",
        "Un account che può solo leggere. Vuoto: anonimo.",
    ),
    "directory.password": ("Password", "Password"),
    "directory.password.hint": (
        "Kept encrypted, for this server and this name alone. Empty: the one that is kept.",
        "Conservata cifrata, solo per questo server e questo nome. Vuoto: quella conservata.",
    ),
    "directory.every": ("Every (minutes)", "Ogni (minuti)"),
    "directory.minutes": ("{minutes} min", "{minutes} min"),
    "directory.addresses": ("Addresses", "Indirizzi"),
    "directory.last": ("Last read", "Ultima lettura"),
    "directory.good": ("read", "letta"),
    "directory.waits": ("not read yet", "non ancora letta"),
    "directory.draft": ("written down, not used", "annotata, non in uso"),
    "directory.settings": ("Add or change a directory", "Aggiungi o modifica una directory"),
    "directory.write": ("Write it down", "Annota"),
    "directory.try": ("Test and preview", "Prova e anteprima"),
    "directory.use": ("Use it", "Usa"),
    "directory.edit": ("Change", "Modifica"),
    "directory.for": ("{what}: {name}", "{what}: {name}"),
    "directory.tried": (
        "{entries} entries, {users} users, {addresses} addresses in your domains.",
        "{entries} voci, {users} utenti, {addresses} indirizzi nei tuoi domini.",
    ),
    "directory.changes": (
        "{added} addresses would come, {removed} would go.",
        "{added} indirizzi verrebbero aggiunti, {removed} rimossi.",
    ),
    "directory.foreign": (
        "{foreign} are in other domains, {unreadable} are no addresses.",
        "{foreign} sono in altri domini, {unreadable} non sono indirizzi.",
    ),
    "directory.sample": ("Some of those that would come:", "Alcuni di quelli che verrebbero aggiunti:"),
    "directory.gone": ("Some of those that would go:", "Alcuni di quelli che verrebbero rimossi:"),
    "directory.list": ("Uploaded list", "Elenco caricato"),
    "directory.listed": ("{count} addresses are in the list.", "{count} indirizzi sono nell'elenco."),
    "directory.uploaded": ("The list has {count} addresses.", "L'elenco ha {count} indirizzi."),
    "directory.force": ("Yes, take {removed} addresses away", "Sì, rimuovi {removed} indirizzi"),
    "directory.apply": ("Apply the list", "Applica l'elenco"),
    "directory.csv": ("CSV file", "File CSV"),
    "directory.csv.hint": (
        "An address a line, or a column called address or email. All of the list, not only what is new; up to 4 MB.",
        "Un indirizzo per riga, o una colonna address o email. L'elenco intero, non solo le novità; fino a 4 MB.",
    ),
    "directory.upload": ("Upload and preview", "Carica e mostra l'anteprima"),
    "directory.many": ("{most} directories are enough.", "{most} directory sono sufficienti."),
    "directory.name": ("A name is 1 to 32 of a-z, 0-9 and -.", "Un nome ha da 1 a 32 caratteri tra a-z, 0-9 e -."),
    "directory.bad-filter": ("The filter is none (RFC 4515).", "Il filtro non è valido (RFC 4515)."),
    "directory.bad-url": ("The server: {reason}.", "Il server: {reason}."),
    "directory.no-name": ("A password needs a DN to log in as.", "Una password richiede un DN con cui accedere."),
    "directory.no-password": (
        "Enter the password for {host}: the one that is kept is for another server or name.",
        "Inserire la password per {host}: quella conservata è per un altro server o nome.",
    ),
    "csv.bad": ("The list was not taken: {reason}.", "L'elenco non è stato accettato: {reason}."),
    "csv.none": ("No list waits to be applied; upload it again.", "Nessun elenco in attesa; caricarlo di nuovo."),
    "csv.drops": (
        "{removed} addresses would go. Confirm that it is meant.",
        "{removed} indirizzi verrebbero rimossi. Confermare.",
    ),
    # --- accounts
    "accounts.title": ("Accounts", "Account"),
    "accounts.invite": ("Invite somebody", "Invita qualcuno"),
    "accounts.send": ("Send the invitation", "Invia l'invito"),
    "accounts.active": ("active", "attivo"),
    "accounts.invited": ("invited", "invitato"),
    "accounts.closed": ("closed", "chiuso"),
    "accounts.link": ("Send a link for the password", "Invia un collegamento per la password"),
    "accounts.close": ("Close", "Chiudi"),
    "accounts.reopen": ("Open again", "Riapri"),
    "accounts.for": ("of {address}", "di {address}"),
    "account.taken": ("There is an account for this address already.", "Esiste già un account per questo indirizzo."),
    "account.closed": ("This account is closed.", "Questo account è chiuso."),
    "account.last-owner": (
        "This is the last owner: make another one first.",
        "È l'ultimo titolare: nominarne prima un altro.",
    ),
    "role.operator": ("operator of the service", "gestore del servizio"),
    "role.owner": ("owner", "titolare"),
    "role.administrator": ("administrator", "amministratore"),
    "role.helpdesk": ("help desk", "assistenza"),
    "role.auditor": ("auditor", "revisore"),
    "role.read-only": ("read-only", "sola lettura"),
    # --- tokens
    "tokens.title": ("API tokens", "Token API"),
    "tokens.make": ("Make a token", "Crea un token"),
    "tokens.label": ("What it is for", "A cosa serve"),
    "tokens.scopes": ("What it may do", "Cosa può fare"),
    "tokens.until": ("Good until", "Valido fino al"),
    "tokens.revoked": ("revoked", "revocato"),
    "tokens.revoke": ("Revoke", "Revoca"),
    "tokens.made": ("The new token, shown this once:", "Il nuovo token, mostrato solo ora:"),
    "tokens.whose": ("Whose", "Di chi"),
    "token.no-scope": ("Choose one thing at least that it may do.", "Scegliere almeno un permesso."),
    # --- licence
    "licence.title": ("Licence", "Licenza"),
    "licence.state.trial": ("trial", "prova"),
    "licence.state.full": ("full", "completa"),
    "licence.state.grace": ("grace: renew now", "proroga: rinnovare ora"),
    "licence.state.lapsed": ("lapsed", "decaduta"),
    "licence.state.purge": ("data may be deleted", "dati eliminabili"),
    "licence.trial": ("Trial until", "Prova fino al"),
    "licence.paid": ("Paid until", "Pagata fino al"),
    "licence.users": ("Users", "Utenti"),
    "licence.counted": ("Users in the directory", "Utenti nella directory"),
    "licence.changes": ("Changes on", "Cambia il"),
    "trial.title": ("Whose mail the trial filters", "Quale posta filtra la prova"),
    "trial.hint": (
        "Mail for everybody else passes untouched.",
        "La posta di tutti gli altri passa senza modifiche.",
    ),
    "trial.hourly": (
        "Up to {count} messages an hour are taken for them; the rest is asked to come later.",
        "Per loro si accettano fino a {count} messaggi all'ora; agli altri si chiede di riprovare più tardi.",
    ),
    "trial.recipients": ("Addresses, or @domain, one a line", "Indirizzi, o @dominio, uno per riga"),
    "trial.recipients.hint": ("None: everybody's mail.", "Nessuno: la posta di tutti."),
    "trial.everybody": ("everybody", "tutti"),
    "trial.bad": ("{address} is neither an address nor @domain.", "{address} non è un indirizzo né @dominio."),
    "trial.elsewhere": ("{address} is in none of your domains.", "{address} non è in nessuno dei tuoi domini."),
    "trial.over": (
        "There is a licence: everybody's mail is filtered.",
        "C'è una licenza: si filtra la posta di tutti.",
    ),
    "licence.key": ("Registration key", "Chiave di registrazione"),
    "licence.enter": ("Enter the key", "Inserisci la chiave"),
    "licence.bad": ("The key was not taken: {reason}.", "La chiave non è stata accettata: {reason}."),
    "licence.none-taken": (
        "This installation takes no registration keys.",
        "Questa installazione non accetta chiavi di registrazione.",
    ),
    # --- secrets
    "secrets.no-key": (
        "This installation has no key to keep secrets with (GATEPOST_CONSOLE_KEY).",
        "Questa installazione non ha una chiave per conservare i segreti (GATEPOST_CONSOLE_KEY).",
    ),
    "secrets.other-key": (
        "What was kept does not open with the key that is configured now. Enter it again.",
        "Il segreto conservato non si apre con la chiave configurata ora. Inserirlo di nuovo.",
    ),
    # --- looking back
    "audit.title": ("Audit log", "Registro modifiche"),
    "audit.by": ("By", "Da"),
    "audit.what": ("What", "Cosa"),
    "audit.subject": ("Subject", "Oggetto"),
    "audit.before": ("Before", "Prima"),
    "audit.after": ("After", "Dopo"),
    "audit.details": ("Details", "Dettagli"),
    "messages.title": ("Messages", "Messaggi"),
    "messages.search": ("Search", "Cerca"),
    "messages.sender": ("Sender, or @domain", "Mittente, o @dominio"),
    "messages.recipient": ("Recipient, or @domain", "Destinatario, o @dominio"),
    "messages.subject": ("Subject holds", "L'oggetto contiene"),
    "messages.since": ("From (date)", "Dal (data)"),
    "messages.until": ("Until (date)", "Al (data)"),
    "messages.state": ("State", "Stato"),
    "messages.any": ("any", "qualsiasi"),
    "messages.none": ("No message was found.", "Nessun messaggio trovato."),
    "messages.from": ("From", "Da"),
    "messages.to": ("To", "A"),
    "messages.refused": ("refused: {reason}", "rifiutato: {reason}"),
    "message.title": ("Message {id}", "Messaggio {id}"),
    "message.client": ("Came from", "Proveniente da"),
    "message.size": ("Size (octets)", "Dimensione (ottetti)"),
    "message.steps": ("What happened", "Cosa è successo"),
    "trace.bad": ("This can't be searched for: {reason}", "Ricerca non possibile: {reason}"),
    "date.bad": ("A date is written 2026-11-25.", "Una data si scrive 2026-11-25."),
    "field.bad": ("This is not as it should be: {where}", "Valore non valido: {where}"),
    # --- one's own
    "me.title": ("Your sessions", "Le tue sessioni"),
    "me.begun": ("Begun", "Iniziata"),
    "me.seen": ("Last used", "Ultimo uso"),
    "me.from": ("From", "Da"),
    "me.agent": ("Browser", "Browser"),
    "me.this": ("this one", "questa"),
    "me.end": ("End", "Termina"),
    # --- done
    "done.customer-added": ("The customer was added, and its owner invited.", "Cliente aggiunto e titolare invitato."),
    "done.customer-removed": ("The customer was removed.", "Cliente rimosso."),
    "done.domain-claimed": ("The domain was added. Now prove it.", "Dominio aggiunto. Ora va dimostrato."),
    "done.signed-up": (
        "A link is on its way to the address; it works once, for a day.",
        "Un collegamento è in arrivo all'indirizzo; funziona una volta, per un giorno.",
    ),
    "done.proof-mailed": ("The link is on its way.", "Il collegamento è in arrivo."),
    "done.trial-limited": ("Saved; it counts within seconds.", "Salvato; vale entro pochi secondi."),
    "done.domain-proved": ("The domain is proved.", "Il dominio è dimostrato."),
    "done.domain-routed": ("Saved; it counts within seconds.", "Salvato; vale entro pochi secondi."),
    "done.domain-removed": ("The domain was removed.", "Dominio rimosso."),
    "done.directory-drafted": (
        "Written down. Test it, then use it.",
        "Annotata. Provala, poi usala.",
    ),
    "done.directory-used": ("In use: it is read within seconds.", "In uso: verrà letta entro pochi secondi."),
    "done.directory-removed": ("Removed.", "Rimossa."),
    "done.list-uploaded": ("Uploaded; nothing has changed yet.", "Caricato; non è ancora cambiato nulla."),
    "done.list-applied": ("The list is in use.", "L'elenco è in uso."),
    "done.account-invited": ("The invitation is on its way.", "L'invito è in arrivo."),
    "done.account-changed": ("The account was changed.", "Account modificato."),
    "done.link-sent": ("The link is on its way.", "Il collegamento è in arrivo."),
    "done.link-on-its-way": (
        "If there is an account for the address, a link is on its way to it.",
        "Se esiste un account per l'indirizzo, il collegamento è in arrivo.",
    ),
    "done.password-set": ("Your password is set.", "La password è impostata."),
    "done.session-ended": ("The session was ended.", "Sessione terminata."),
    "done.token-revoked": ("The token was revoked.", "Token revocato."),
    "done.licence-renewed": ("The licence was renewed; thank you.", "Licenza rinnovata; grazie."),
    # --- problems
    "problem.not-found": ("There is no such page.", "Pagina inesistente."),
    "problem.forbidden": ("Your role may not do this.", "Il tuo ruolo non lo consente."),
    "problem.form": (
        "This form did not come from here, or is too old. Go back, load the page again and repeat it.",
        "Questo modulo non proviene da qui o è scaduto. Tornare indietro, ricaricare la pagina e ripetere.",
    ),
    "problem.busy": (
        "The console can't reach its database. Mail flows all the same; please try again in a minute.",
        "La console non raggiunge il suo database. La posta continua a fluire; riprovare tra un minuto.",
    ),
    "problem.home": ("To the start", "Torna all'inizio"),
    # --- mails
    "mail.activate.subject": ("Your account at {service}", "Il tuo account su {service}"),
    "mail.activate.intro": (
        "You were invited to administer mail security at {service}. Open this link to choose a password:",
        (
            "Sei stato invitato ad amministrare la sicurezza della posta su {service}. Apri questo collegamento "
            "per scegliere una password:"
        ),
    ),
    "mail.activate.limit": (
        "The link works once, and for seven days.",
        "Il collegamento funziona una sola volta, per sette giorni.",
    ),
    "mail.reset.subject": ("A new password at {service}", "Una nuova password su {service}"),
    "mail.reset.intro": (
        "Open this link to choose a new password at {service}:",
        "Apri questo collegamento per scegliere una nuova password su {service}:",
    ),
    "mail.reset.limit": (
        "The link works once, and for an hour.",
        "Il collegamento funziona una sola volta, per un'ora.",
    ),
    "mail.signup.subject": ("Your trial of {service}", "La tua prova di {service}"),
    "mail.signup.intro": (
        "Somebody asked for a trial of mail security at {service} with this address. Open this link to begin it:",
        "Con questo indirizzo è stata chiesta una prova della sicurezza della posta su {service}. Inizia qui:",
    ),
    "mail.signup.limit": (
        "The link works once, and for a day.",
        "Il collegamento funziona una sola volta, per un giorno.",
    ),
    "mail.proof.subject": ("Is {domain} to use {service}?", "{domain} deve usare {service}?"),
    "mail.proof.intro": (
        "The customer {customer} at {service} says that {domain} is his. If that is right, open this link and confirm:",
        "Il cliente {customer} di {service} afferma che {domain} è suo. Se è corretto, apri e conferma:",
    ),
    "mail.proof.limit": (
        "The link works once, and for a day. Who gets this mail reads the mail of whoever runs the domain.",
        "Il collegamento funziona una sola volta, per un giorno. Questo indirizzo è di chi gestisce il dominio.",
    ),
    "mail.not-you": (
        "If you did not expect this, do nothing: without the link nothing changes.",
        "Se non te lo aspettavi, non fare nulla: senza il collegamento non cambia nulla.",
    ),
    "mail.licence.subject": ("Your licence ends on {date}", "La licenza scade il {date}"),
    "mail.licence.intro": (
        "The licence or trial of {customer} at {service} ends on {date}. Enter a registration key here:",
        "La licenza o la prova di {customer} su {service} scade il {date}. Inserisci qui una chiave di registrazione:",
    ),
    "mail.licence.after": (
        "For 30 days after that everything goes on; then only the renewal is open in the console.",
        "Per altri 30 giorni tutto continua; poi nella console resta aperto solo il rinnovo.",
    ),
    "mail.lapse.subject": ("Your licence has ended and lapses on {date}", "La licenza è scaduta e decade il {date}"),
    "mail.lapse.intro": (
        "The licence or trial of {customer} at {service} has ended. Everything goes on until {date}. Renew here:",
        "La licenza o la prova di {customer} su {service} è scaduta. Tutto continua fino al {date}. Rinnova qui:",
    ),
    "mail.lapse.after": (
        "After that each message carries a notice, and in the console only the renewal is open.",
        "Dopo, ogni messaggio porterà un avviso e nella console resterà aperto solo il rinnovo.",
    ),
    "mail.purge.subject": ("Your data is deleted on {date}", "I dati verranno eliminati il {date}"),
    "mail.purge.intro": (
        (
            "The licence of {customer} at {service} has lapsed. On {date} all of its data is deleted for good, and its "
            "mail is no longer taken. To keep it, renew here:"
        ),
        (
            "La licenza di {customer} su {service} è decaduta. Il {date} tutti i dati verranno eliminati "
            "definitivamente e la posta non sarà più accettata. Per conservarli, rinnova qui:"
        ),
    ),
    "mail.purge.after": (
        "Before you leave: point the MX records of your domains elsewhere, and export your settings in the console.",
        "Prima di lasciare il servizio: cambia i record MX dei domini ed esporta le impostazioni dalla console.",
    ),
    "mail.welcome.subject": ("Mail for {domain}: the next step", "Posta per {domain}: il prossimo passo"),
    "mail.welcome.intro": (
        "{service} now takes mail for {domain}. Change the MX record of the domain to exactly this:",
        "{service} ora accetta posta per {domain}. Imposta il record MX del dominio esattamente così:",
    ),
    "mail.welcome.network": ("Our mail comes from", "La nostra posta proviene da"),
    "mail.welcome.firewall": (
        (
            "Let our addresses reach your mail servers on port 25. When the record has changed everywhere, take mail "
            "from no others: who knows your servers' addresses could otherwise go round the filter."
        ),
        (
            "Consenti ai nostri indirizzi di raggiungere i tuoi server di posta sulla porta 25. Quando il record è "
            "cambiato ovunque, non accettare posta da altri: chi conosce i tuoi server potrebbe aggirare il filtro."
        ),
    ),
    "mail.welcome.wait": (
        "Others may see the change up to 48 hours late. The page shows what the record says now:",
        "Altri possono vedere la modifica con un ritardo fino a 48 ore. La pagina mostra il valore attuale:",
    ),
    **SIGNIN,
}


def text(key: str, language: str, **values: object) -> str:
    """Return the text in the language, English where it is none of ours. Raises KeyError for a key that isn't there."""
    return raw(key, language).format(**values)


def raw(key: str, language: str) -> str:
    """Return the text with its gaps."""
    return _TEXTS[key][LANGUAGES.index(language) if language in LANGUAGES else 0]


def known(key: str) -> bool:
    """Return whether there is such a text."""
    return key in _TEXTS


def keys() -> list[str]:
    """Return every key."""
    return list(_TEXTS)
