"""What people read on the pages of mail (dashboard, messages, queue, quarantine, reports), and in mails with reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MAIL_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    # --- frame
    "nav.dashboard": ("Dashboard", "Cruscotto"),
    "nav.queue": ("Queue", "Coda"),
    "nav.held": ("Quarantine", "Quarantena"),
    "nav.reports": ("Reports", "Rapporti"),
    "when.utc": ("From (UTC)", "Da (UTC)"),
    # --- dashboard
    "dashboard.title": ("Dashboard", "Cruscotto"),
    "dashboard.service": ("The whole service", "Tutto il servizio"),
    "dashboard.span": ("Period", "Periodo"),
    "dashboard.days.1": ("24 hours", "24 ore"),
    "dashboard.days.7": ("7 days", "7 giorni"),
    "dashboard.days.30": ("30 days", "30 giorni"),
    "dashboard.days.90": ("90 days", "90 giorni"),
    "dashboard.counted": (
        "Counted are recipients: a message to three people counts three times. Times are UTC.",
        "Si contano i destinatari: un messaggio a tre persone conta tre volte. Gli orari sono in UTC.",
    ),
    "dashboard.nothing": ("No mail was counted in this period.", "In questo periodo non è stata contata posta."),
    "dashboard.table": ("The figures as a table", "I dati in tabella"),
    "dashboard.now": ("waiting now", "in attesa ora"),
    "dashboard.oldest": ("oldest: {age}", "il più vecchio: {age}"),
    "dashboard.down": ("{count} destinations don't answer", "{count} destinazioni non rispondono"),
    "dashboard.within": ("{share} within {promise}", "{share} entro {promise}"),
    "panel.traffic": ("What became of mail", "Che ne è stato della posta"),
    "panel.layers": ("Stopped, by layer", "Fermati, per livello"),
    "panel.threats": ("Threats over time", "Minacce nel tempo"),
    "panel.latency": ("From receipt to delivery", "Dalla ricezione alla consegna"),
    "figure.received": ("Received", "Ricevuti"),
    "figure.messages": ("{count} messages, {size}", "{count} messaggi, {size}"),
    "figure.delivered": ("Delivered", "Consegnati"),
    "figure.held": ("Quarantined", "In quarantena"),
    "figure.deleted": ("Deleted", "Eliminati"),
    "figure.refused": ("Refused at the door", "Rifiutati all'ingresso"),
    "figure.stopped": ("Stopped", "Fermati"),
    "figure.layer": ("Layer", "Livello"),
    "figure.latency": ("Latency", "Latenza"),
    "figure.p50": ("Median", "Mediana"),
    "figure.p95": ("95 % within", "Il 95 % entro"),
    "figure.queue": ("Queue", "Coda"),
    "figure.spam": ("Spam", "Spam"),
    "figure.phishing": ("Phishing", "Phishing"),
    "figure.virus": ("Virus", "Virus"),
    "figure.suspicious": ("Suspicious", "Sospetti"),
    "layer.door": ("Front door", "Ingresso"),
    "layer.rules": ("The customer's rules", "Regole del cliente"),
    "layer.auth": ("Authentication", "Autenticazione"),
    "layer.virus": ("Virus scanner", "Antivirus"),
    "layer.content": ("Content", "Contenuto"),
    "layer.urls": ("Links", "Collegamenti"),
    "layer.attachments": ("Attachments", "Allegati"),
    "layer.impersonation": ("Impersonation", "Impersonazione"),
    "layer.outbreak": ("Outbreaks", "Epidemie"),
}
