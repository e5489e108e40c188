"""Names that everybody knows: brands and their domains, shorteners, free hosting, redirectors, cheap top-level domains.

Each table is text, so that a line can be added without knowing Python. All lower case.
"""

from __future__ import annotations

from typing import Final

# brand: its domains. A country's domain with the brand's label (amazon.de, google.co.uk) counts as the brand's too.
_BRANDS: Final = """
adobe: adobe.com adobelogin.com adobe.io adobesign.com echosign.com
aliexpress: aliexpress.com alibaba.com
amazon: amazon.com amazonaws.com amazon.dev amazonses.com amazonpay.com awstrack.me media-amazon.com amazon.jobs
americanexpress: americanexpress.com aexp.com amex.com
apple: apple.com icloud.com me.com mac.com cdn-apple.com
bancosantander: santander.com
bankofamerica: bankofamerica.com bofa.com ml.com
barclays: barclays.com barclaycard.co.uk barclaysus.com
binance: binance.com binance.us binance.org
blockchain: blockchain.com blockchain.info
booking: booking.com bookingholdings.com
bradesco: bradesco.com.br
capitalone: capitalone.com
chase: chase.com jpmorganchase.com jpmorgan.com
citibank: citibank.com citi.com
coinbase: coinbase.com
commerzbank: commerzbank.de commerzbank.com
correios: correios.com.br
costco: costco.com
creditagricole: credit-agricole.fr credit-agricole.com
deutschebank: deutsche-bank.de db.com
dhl: dhl.com dhl.de
docusign: docusign.com docusign.net
dropbox: dropbox.com dropboxmail.com dropboxusercontent.com
ebay: ebay.com ebaystatic.com ebayimg.com
facebook: facebook.com facebookmail.com fb.com meta.com fbcdn.net fb.me
fedex: fedex.com
geeksquad: geeksquad.com bestbuy.com
github: github.com github.io githubusercontent.com githubassets.com github.dev
godaddy: godaddy.com secureserver.net
google: google.com gmail.com youtube.com googleusercontent.com googleapis.com gstatic.com goo.gl google.dev
hsbc: hsbc.com hsbc.co.uk
instagram: instagram.com
intuit: intuit.com quickbooks.com turbotax.com
kraken: kraken.com
laposte: laposte.fr laposte.net
ledger: ledger.com
linkedin: linkedin.com licdn.com lnkd.in
lloydsbank: lloydsbank.com lloydsbank.co.uk lloydsbanking.com
mastercard: mastercard.com
mcafee: mcafee.com
mercadolivre: mercadolivre.com.br mercadolibre.com
metamask: metamask.io
microsoft: microsoft.com microsoftonline.com live.com office.com office365.com outlook.com hotmail.com msn.com
microsoft: windows.com windows.net azure.com sharepoint.com onedrive.com skype.com office.net microsoft365.com aka.ms
microsoft: sway.com linkedin.com xbox.com bing.com cloud.microsoft msftauth.net
natwest: natwest.com
netflix: netflix.com nflxext.com nflxso.net
office365: office365.com office.com microsoft.com
onedrive: onedrive.com microsoft.com live.com sharepoint.com
outlook: outlook.com microsoft.com live.com office.com office365.com
paypal: paypal.com paypal.me paypalobjects.com paypal-communication.com paypalcorp.com
postbank: postbank.de
rakuten: rakuten.com rakuten.co.jp
revolut: revolut.com
royalmail: royalmail.com
sharepoint: sharepoint.com microsoft.com
sparkasse: sparkasse.de
spotify: spotify.com
steamcommunity: steamcommunity.com steampowered.com
swisspost: post.ch swisspost.ch
telekom: telekom.de telekom.com t-online.de
trezor: trezor.io
trustwallet: trustwallet.com
usbank: usbank.com
usps: usps.com usps.gov
verizon: verizon.com verizonwireless.com
walmart: walmart.com
wellsfargo: wellsfargo.com
wetransfer: wetransfer.com we.tl
whatsapp: whatsapp.com whatsapp.net wa.me
xfinity: xfinity.com comcast.net comcast.com
zelle: zellepay.com
"""

_SHORTENERS: Final = """
adf.ly b.link bit.do bit.ly bl.ink buff.ly cli.gs clck.ru cutt.ly dlvr.it goo.gl is.gd lc.cx lnkd.in ow.ly qr.ae
qrco.de qr.link qrfy.com rb.gy rebrand.ly s.id s.yam.com short.cm short.gy shorturl.at snip.ly soo.gd t.co t.ly
t2m.io tiny.cc tiny.one tinyurl.com tr.im trib.al u.to urlz.fr v.gd vk.cc x.gd me2.do shor.by linktr.ee
me-qr.com qrcodes.pro l.ead.me scnv.io bit.ws n9.cl acortar.link encurtador.com.br
"""

# Where anybody puts a page up within a minute, below a name that is in good standing.
_FREE_HOSTING: Final = """
000webhostapp.com amazonaws.com appspot.com atwebpages.com azureedge.net azurewebsites.net azurestaticapps.net
backblazeb2.com blogspot.com carrd.co cloudfront.net codesandbox.io cprapid.com dweb.link duckdns.org
digitaloceanspaces.com firebaseapp.com fleek.co fly.dev framer.app framer.website ghost.io github.io gitbook.io
gitlab.io glitch.me godaddysites.com herokuapp.com infinityfreeapp.com ipfs.io jimdosite.com linodeobjects.com
mystrikingly.com myshopify.com netlify.app ngrok.io ngrok-free.app ngrok.app notion.site on.fleek.co onrender.com
pages.dev pantheonsite.io plesk.page r2.dev railway.app repl.co replit.app replit.dev rsc.cdn77.org square.site
storage.googleapis.com surge.sh translate.goog trycloudflare.com typedream.app ukit.me vercel.app w3s.link
web.app web.core.windows.net blob.core.windows.net webflow.io webnode.page weebly.com weeblysite.com wixsite.com
wixstudio.com wordpress.com workers.dev yolasite.com zapier.app myportfolio.com sites.google.com webcindario.com
"""

_FORM_BUILDERS: Final = """
123formbuilder.com cognitoforms.com docs.google.com/forms forms.gle forms.office.com formstack.com formspree.io
forms.monday.com forms.yandex.com forms.yandex.ru formsubmit.co getform.io jotform.com paperform.co surveymonkey.com
tally.so typeform.com wufoo.com smore.com padlet.com forms.zohopublic.com
"""

# host[/path]: leads wherever its query says.
_REDIRECTORS: Final = """
adclick.g.doubleclick.net google.com/url google.com/amp google.com/aclk googleadservices.com/pagead bing.com/ck
l.facebook.com l.instagram.com lm.facebook.com youtube.com/redirect linkedin.com/redir linkedin.com/slink
slack-redir.net t.umblr.com baidu.com/link away.vk.com vk.com/away out.reddit.com steamcommunity.com/linkfilter
duckduckgo.com/l r.search.yahoo.com yandex.ru/clck medium.com/r translate.google.com/translate sogou.com/link
"""

# Those who check links for their customers put them inside their own: no sign of anything.
_REWRITERS: Final = """
safelinks.protection.outlook.com urldefense.proofpoint.com urldefense.com linkprotect.cudasvc.com
protect-us.mimecast.com protect-eu.mimecast.com protect2.fireeye.com secure-web.cisco.com clicktime.symantec.com
url.emailprotection.link shared.outlook.inky.com link.edgepilot.com urlsand.esvalabs.com
"""

_CHEAP_TLDS: Final = """
asia autos bar beauty best bid bond boats buzz cam cf cfd click club cyou date download fit fun ga gdn gq hair icu
loan lol makeup men ml mom monster motorcycles mov online pics pw quest racing rest review sbs shop site skin space
stream support surf tk tokyo top trade uno vip wang website win work xin xyz yachts zip
"""

_LURES: Final = """
access account accounts admin alert auth authenticate bank billing care center claim client confirm customer delivery
device help id info invoice limited live log login logon mail mobile my myaccount notice notification online order
parcel password pay payment portal recover refund resolution reset safe secure secured security service services
shipment sign signin sso support suspended tax team track tracking unlock update updates user validate verification
verify wallet web webmail webscr
"""

_FREE_MAIL: Final = """
126.com 163.com aol.com bigpond.com bk.ru bol.com.br btinternet.com comcast.net cox.net daum.net email.com fastmail.com
free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hanmail.net hey.com hotmail.co.uk
hotmail.com hotmail.de hotmail.fr hotmail.it hushmail.com icloud.com inbox.lv inbox.ru libero.it list.ru live.co.uk
live.com live.de live.fr mac.com mail.com mail.ru mailfence.com me.com msn.com naver.com orange.fr outlook.com
outlook.de outlook.es outlook.fr ozemail.com.au pm.me proton.me protonmail.ch protonmail.com qq.com rambler.ru
rediffmail.com rocketmail.com sbcglobal.net seznam.cz sina.com sky.com t-online.de terra.com.br tuta.com tutanota.com
tutanota.de uol.com.br verizon.net virgilio.it wanadoo.fr web.de wp.pl yahoo.ca yahoo.co.in yahoo.co.jp yahoo.co.uk
yahoo.com yahoo.com.br yahoo.de yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru ymail.com zoho.com zohomail.com
zohomail.eu
"""


_EXECUTABLES: Final = """
apk appx application bat chm cmd com cpl dmg exe hta img iso jar js jse lnk msi msix one ps1 reg scr vbe vbs vhd vhdx
wsf xll
"""

_ODD_SCHEMES: Final = """
javascript vbscript data file search-ms search ms-search ms-msdt ms-excel ms-word ms-powerpoint ms-appinstaller ms-
officecmd smb jar view-source
"""

_ROLES: Final = """
account accounts alert alerts billing care center centre customer delivery department desk help info
invoice it mail message notice notification notifications official payment payments portal privacy
security service services shipping support survey system team update verification voicemail
"""

_TITLES: Final = """
dr prof mr mrs ms mx sir dame herr frau ing dipl mag msc bsc mba phd jr sr ceo cfo coo cto dipling
"""

# Brands whose name is a word of its own: beside another word it says little.
_COMMON_WORDS: Final = """
apple blockchain booking chase kraken ledger onedrive outlook sharepoint telekom
"""

_NEUTRAL_TLDS: Final = """
edu gov mil int arpa
"""

_LONG_TLDS: Final = """
email online store cloud agency digital support company group museum travel
"""

_TEXT_TYPES: Final = """
text/calendar text/vcard text/x-vcard text/csv text/xml application/xml text/rtf
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _brands(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in text.strip().splitlines():
        name, _, domains = line.partition(":")
        found[name] = found.get(name, frozenset()) | _words(domains)
    return found


BRANDS: Final = _brands(_BRANDS)
SHORTENERS: Final = _words(_SHORTENERS)
FREE_HOSTING: Final = _words(_FREE_HOSTING)
FORM_BUILDERS: Final = _words(_FORM_BUILDERS)
REDIRECTORS: Final = _words(_REDIRECTORS)
REWRITERS: Final = _words(_REWRITERS)
CHEAP_TLDS: Final = _words(_CHEAP_TLDS)
LURES: Final = _words(_LURES)
FREE_MAIL: Final = _words(_FREE_MAIL)
EXECUTABLES: Final = _words(_EXECUTABLES)
ODD_SCHEMES: Final = _words(_ODD_SCHEMES)
ROLES: Final = _words(_ROLES)
TITLES: Final = _words(_TITLES)
COMMON_WORDS: Final = _words(_COMMON_WORDS)
NEUTRAL_TLDS: Final = _words(_NEUTRAL_TLDS)
LONG_TLDS: Final = _words(_LONG_TLDS)
TEXT_TYPES: Final = _words(_TEXT_TYPES)


def listed(host: str, path: str, table: frozenset[str]) -> str:
    """Return the entry of the table that the host lies at or below, with the first step of the path; or nothing."""
    labels = host.split(".")
    step = path.split("/", 2)[1] if path.startswith("/") else ""
    for start in range(len(labels) - 1):
        name = ".".join(labels[start:])
        if name in table:
            return name
        if step and f"{name}/{step}" in table:
            return f"{name}/{step}"
    return ""
