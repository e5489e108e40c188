"""What phishing promises and threatens, in the languages it comes in: one regular expression a line, lower case.

General knowledge of the trade, each lure with its verbs: a bank's own letters use the nouns too.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Final

import re2

READ: Final = 8192  # characters: a lure comes early

ACCOUNT: Final = r"""
(?:verify|confirm|validate|update|re-?activate|restore|unlock|secure|review) (?:your|the|my) (?:\w+ ){0,2}(?:account|identity|information|password|wallet|e-?mail|details|profile|billing|payment|card|mailbox|access|data)
(?:has|have|is|was|been) (?:\w+ )?(?:suspended|limited|locked|deactivated|restricted|disabled|blocked|compromised|on hold)
(?:will|shall|to) be (?:\w+ )?(?:suspended|locked|deactivated|restricted|disabled|blocked|terminated|closed|deleted)
(?:unusual|suspicious|unauthori[sz]ed|unrecogni[sz]ed|abnormal) (?:\w+[- ]?){0,2}(?:activity|log-?in|sign-?in|access|transaction|attempt|device|charge)
(?:password|account|session|subscription|membership) (?:has |is |will )?(?:about to )?expir(?:e|es|ed|ing|ation)
(?:payment|charge|card|billing) (?:\w+ ){0,3}(?:declined|failed|rejected|not (?:go|gone) through|problem|issue)
security (?:alert|notice|warning|update|notification)|(?:log|sign)[- ]?in (?:alert|attempt)|someone (?:has )?(?:tried|logged|signed)
(?:konto|zugang|karte|online-?banking|zugriff)\w* (?:\w+ ){0,4}(?:gesperrt|eingeschränkt|deaktiviert|bestätigen|verifizieren|aktualisieren|abgelaufen)
(?:bestätigen|verifizieren|aktualisieren|überprüfen) sie (?:ihr|ihre|ihren|die)
(?:votre|ton) (?:compte|carte|accès|espace)(?: \w+){0,5} (?:suspendu|bloqué|limité|désactivé|expir\w+|restreint)e?
(?:confirme[rz]|vérifie[rz]|mettre à jour|mettez à jour|actualise[rz]|validez) (?:votre|vos|le|les)
(?:su|tu) (?:cuenta|tarjeta|acceso)(?: \w+){0,5} (?:suspendid|bloquead|limitad|desactivad|restringid|inhabilitad|caducad)[oa]
(?:verifi(?:que|car)|confirm(?:e|ar)|actuali(?:ce|zar)|valid(?:e|ar)) (?:su|sus|tu|tus|la|los)
(?:sua|seu) (?:conta|cartão|acesso|senha|cadastro|token|dispositivo)(?: \w+){0,5} (?:suspens|bloquead|limitad|desativad|cancelad|expirad|restrit|vencid)[oa]
(?:atuali[sz](?:e|ar)|confirm(?:e|ar)|valid(?:e|ar)|verifi(?:que|car)|regulari[sz](?:e|ar)|desbloque(?:ie|ar)|reativ(?:e|ar)) (?:o |a |os |as )?(?:seu|sua|seus|suas|dados|cadastro|conta|acesso)
(?:il tuo|il suo|la tua|la sua) (?:conto|account|carta|accesso)(?: \w+){0,5} (?:sospes|bloccat|limitat|disattivat|scadut)[oa]
(?:verifi(?:ca|chi|care)|conferm(?:a|i|are)|aggiorn(?:a|i|are)) (?:i tuoi|i suoi|il tuo|la tua|le tue|il suo|la sua)
(?:uw|je) (?:rekening|account|pas|betaalpas|toegang)(?: \w+){0,5} (?:geblokkeerd|beperkt|opgeschort|verlopen|gedeactiveerd)
アカウント.{0,30}(?:確認|更新|停止|制限|異常)|(?:本人|お支払い).{0,12}(?:確認|更新)|不正(?:アクセス|利用|ログイン)
(?:подтвердите|обновите) (?:ваш|ваши|свой|данные)|аккаунт.{0,30}(?:заблокирован|приостановлен)
"""

DELIVERY: Final = r"""
(?:package|parcel|shipment|delivery|order|item) (?:\w+ ){0,6}(?:could not be|couldn'?t be|was not|unable|on hold|pending|waiting|failed|suspended|returned|stopped|attempt|undeliver\w+)
(?:unable|failed|tried|attempted) to deliver
(?:delivery|shipping|customs|redelivery|handling) (?:fee|charge|cost|duty|duties|address|details)
(?:track|schedule|confirm|re-?schedule|reprogram) (?:your|the|a|my) (?:package|parcel|delivery|shipment|order)
(?:paket|sendung|lieferung)\w* (?:\w+ ){0,8}(?:nicht zugestellt|zugestellt werden|wartet|zoll\w*|zurückgehalten|angehalten|ausstehend)
(?:zoll|versand|zustell)(?:gebühr|kosten)
(?:colis|livraison)(?: \w+){0,8} (?:attente|livré|suspendu|frais|bloqué|échou\w+|instance)
(?:paquete|envío|entrega)(?: \w+){0,8} (?:pendiente|retenido|suspendid[oa]|entregad[oa]|tasas?|gastos|aduanas?|fallid[oa])
(?:encomenda|pacote|entrega|objeto|pedido)(?: \w+){0,8} (?:pendente|retid[oa]|taxa|alfândega|tributad[oa]|suspens[oa]|devolvid[oa]|aguardando|não entregue)
(?:pacco|spedizione|consegna)(?: \w+){0,8} (?:sospes[oa]|giacenza|trattenut[oa]|dogan\w+|fallit[oa]|attesa)
(?:pakket|zending)(?: \w+){0,8} (?:niet bezorgd|wacht|douane\w*|kosten)
(?:荷物|お届け|配達).{0,20}(?:不在|住所|確認|できません)
"""

MONEY: Final = r"""
(?:refund|reimbursement|compensation|tax return|rebate|cashback|stimulus|grant|inheritance|settlement|unclaimed) (?:\w+ ){0,5}(?:available|approved|pending|eligible|waiting|claim|process\w*|credited|ready|fund|payment)
(?:you(?:'re| are| have)?|your) (?:\w+ ){0,4}(?:eligible|entitled|approved|owed) (?:for|to|a)
(?:invoice|payment|remittance|wire|transfer|receipt|purchase order|quotation|statement) (?:\w+ ){0,4}(?:attached|overdue|past due|pending|due|advice|copy|confirmation|outstanding|unpaid|for your review)
(?:renewed|renewal|auto-?renew\w*|subscription|charged|debited) (?:\w+ ){0,8}(?:\$|usd|€|£|amount|today|successful\w*|cancel|from your account)
(?:call|contact|dial) (?:us|our|the)?(?: \w+){0,6} (?:toll|\+?1[ -(]|helpline|cancel|support|refund)
(?:rückerstattung|erstattung|steuererstattung|gutschrift|rechnung|mahnung|zahlung)(?: \w+){0,6} (?:offen|fällig|anhang|beantragen|erhalten|überfällig|ausstehend|fehlgeschlagen)
(?:remboursement|facture|impôts?|amende|indemnité|prime)(?: \w+){0,6} (?:disponible|attente|impayée?|jointe?|réclam\w+|demande|bénéficier|éligible)
(?:reembolso|devolución|factura|multa|deuda|comprobante)(?: \w+){0,6} (?:pendiente|disponible|adjunt[oa]|impag[ao]|vencid[oa]|solicitar|aprobad[oa]|electrónica)
(?:restituição|reembolso|fatura|boleto|débito|pendência|dívida|nota fiscal|nf-?e|multa|imposto|comprovante|pix)(?: \w+){0,6} (?:pendente|disponível|anex[oa]|vencid[oa]|atras\w+|aprovad[oa]|liberad[oa]|regulari\w+|emitid[oa]|eletrônic[oa]|receb\w+|agendad[oa])
(?:rimborso|fattura|pagamento|bolletta|multa)(?: \w+){0,6} (?:disponibile|sospeso|allegat[oa]|scadut[oa]|insolut[oa]|approvato|attesa)
(?:terugbetaling|teruggave|factuur|boete|aanmaning)(?: \w+){0,6} (?:openstaand|bijlage|ontvangen|beschikbaar|betaald)
未払い|請求|返金|還付
"""

CRYPTO: Final = r"""
(?:bitcoin|btc|ethereum|eth|xrp|ripple|usdt|solana|doge\w*|crypto\w*|token|nft|airdrop)s? (?:\w+ ){0,6}(?:wallet|withdraw\w*|deposit\w*|claim\w*|reward\w*|bonus|giveaway|allocation|program|mining|invest\w*|profit\w*|balance|transfer|eligible|doubl\w+|receive\w*|payout|earn\w*)
(?:claim|receive|withdraw|unlock|get|redeem) (?:your|the|my|free)? ?(?:\S+ ){0,3}(?:bitcoin|btc|ethereum|eth|xrp|usdt|crypto\w*|tokens?|airdrop|coins?)
(?:connect|sync\w*|validate|verify|import|migrate|upgrade|restore) (?:your|the) (?:\w+ ){0,2}(?:wallet|ledger|metamask)
(?:seed|recovery|secret|pass) ?phrase|private keys?
(?:crypto\w*|bitcoin|btc|token|coin|nft|eth\w*) ?(?:airdrop|giveaway|portfolio)
(?:payment|transaction|transfer|deposit|funded)(?: \S+){0,8} (?:btc|bitcoins?|eth|ethereum|usdt|xrp)\b|\b\d[\d.,]* ?(?:btc|bitcoins?|eth|usdt|xrp) (?:\S+ ){0,4}(?:is|has|have|was|were|for you|waiting|available|received|credited)
(?:trading|investment|mining|forex) (?:platform|bot|robot|opportunit\w+|plan|account|profit|software|system)
automated (?:bitcoin|crypto|trading|mining)|passive income|financial freedom
"""

MAILBOX: Final = r"""
(?:mailbox|inbox|e-?mail|storage|quota|disk|cloud|icloud|drive)(?: \w+){0,5} (?:full|exceeded|limit|quota|almost|upgrade|expire[sd]?|deactivat\w+|suspend\w*|capacity|insufficient|out of)
(?:undelivered|pending|incoming|held|quarantined|blocked|unreleased|stuck|clustered) (?:e-?mails?|messages?|mails)
(?:release|retrieve|review|deliver|view|download|recover) (?:your |the |all |these |pending |held )*(?:e-?mails?|messages?|voice ?mail|voice ?note|fax|files?|photos)
(?:keep|retain|use|continue (?:using|with)) (?:the |your |my )?(?:same |current |existing )password
(?:it|help ?desk|mail|server|web-?mail|e-?mail|system|domain|cpanel) (?:admin\w*|support|team|service desk|notification|maintenance|update|upgrade|helpdesk|security)
(?:postfach|speicherplatz|e-mail-?konto|mailbox)(?: \w+){0,5} (?:voll|erreicht|überschritten|gesperrt|deaktiviert)
(?:buzón|correo|almacenamiento|boîte|messagerie|stockage|casella|caixa|armazenamento|espaço)(?: \w+){0,6} (?:llen[oa]|límite|pleine?|limite|pien[oa]|esaurit\w+|chei[oa]|cuota|quota|excedid[oa]|plein|satur\w+|lotad[oa])
(?:2fa|mfa|authenticator|multi-?factor|two-?factor)(?: \w+){0,6} (?:enabl\w+|updat\w+|requir\w+|expir\w+|re-?authenticat\w+|re-?set)
"""

DOCUMENT: Final = r"""
(?:shared|sent|received|has sent|new|secure|encrypted|confidential|completed|signed|pending) (?:\w+ ){0,4}(?:document|file|folder|fax|voice ?mail|voice ?message|audio|pdf|scan|contract|agreement|proposal|e-?signature)s?\b
(?:review|sign|view|open|access|download|read|listen|play) (?:and sign |and |to )?(?:the |this |your |a |secure |shared |full )*(?:document|file|fax|voice ?mail|message|audio|pdf|attachment|contract|agreement|invoice|statement|proposal)s?\b
(?:missed|new) (?:call|voice ?mail|voice ?message|fax)
document (?:is )?(?:ready|waiting|awaiting|shared|pending)|docu-?sign|via (?:sharepoint|one-?drive|dropbox|docusign|adobe|wetransfer)
(?:payroll|salary|bonus|hr|benefits?|handbook|employee|w-?2|appraisal)(?: \w+){0,4} (?:update|adjustment|review|document|policy|form|enrollment|acknowledg\w+|revised)
(?:dokument|datei|vertrag|documento?|fichier|archivo|arquivo|contrato|document)(?: \w+){0,5} (?:geteilt|unterzeichnen|partagé|signer|compartid[oa]|firmar|compartilhad[oa]|assinar|condivis[oa]|firmare|ondertekenen|anex[oa])
"""

PRIZE: Final = r"""
(?:you(?:'ve| have)?|has|have) (?:\w+ ){0,3}(?:won|been (?:selected|chosen|picked)|selected|a winner|a chance)
(?:claim|redeem|collect|get|receive|win) (?:your|the|a|an|this|my)? ?(?:\S+ ){0,3}(?:prize|reward|gift|bonus|voucher|gift ?card|points?|award|winnings?|offer|iphone|cash|package|sample)s?\b
(?:exclusive|special|free|loyalty|surprise|mystery|customer) (?:\w+ ){0,2}(?:reward|gift|prize|bonus|giveaway|box|survey|sweepstakes?)s?
(?:gift ?card|e-?gift|lottery|jackpot|free spins|casino|sweepstakes?|lucky (?:winner|draw)|raffle|survey)
(?:points?|rewards?|miles|pontos|milhas|puntos|punti)(?: \w+){0,5} (?:expir\w+|expire|venc\w+|caduc\w+|scad\w+|resgat\w+|canje\w+|redeem)
(?:expir\w+|resgat\w+|canje\w+|troque|redeem)(?: \S+){0,5} (?:points?|rewards?|miles|pontos|milhas|puntos|punti|prêmios?|premios?)
(?:sie haben|glückwunsch|gewonnen|gewinn\w*|ausgewählt|gutschein|vous avez (?:gagné|été)|félicitations|gagn(?:é|ez|ant)|cadeau|ha sido seleccionad[oa]|felici(?:dades|taciones)|ganador|premio|parabéns|ganhou|você foi|sortead[oa]|prêmio|brinde|cupom|congratulazioni|hai vinto|vincitor\w+|gewonnen|gefeliciteerd)
"""

OFFER: Final = r"""
(?:lose|burn|melt|shed|drop)(?:ing|s)? (?:\S+ ){0,3}(?:weight|fat|pounds|lbs|kg|kilos|inches)
(?:erectile|erection|libido|testosterone|prostate|blood sugar|diabet\w+|tinnitus|neuropathy|keto|cbd|gummies|nail fungus|toenail|memory loss|joint pain|blood pressure|cholesterol|hearing loss|vision loss|belly fat|metabolism|skin tags?)
(?:doctors?|scientists?|experts?|researchers|big pharma) (?:\w+ ){0,4}(?:hate|stunned|shocked|discover\w+|reveal\w*|baffled|don'?t want|warn\w*)
(?:this|one|simple|weird|strange|odd|ancient|secret|bizarre|morning|bedtime|kitchen) (?:\w+ ){0,2}(?:trick|ritual|loophole|hack|method|tonic|recipe|remedy|habit)
(?:life|car|auto|health|home|pet|medicare|final expense|term) (?:\w+ )?(?:insurance|warranty|coverage)(?: \w+){0,6} (?:quote|rates?|save|as low|plan|cost|expire\w*|policy)
(?:loan|credit|funding|cash|debt|mortgage)s? (?:\w+ ){0,4}(?:approved|approval|pre-?approved|up to|offer|relief|low|instant|today|available)
(?:solar|gutter|roof|window|walk-?in (?:tub|shower)|bath ?room|heater|generator|drone|flashlight|hearing aids?)s? (?:\w+ ){0,4}(?:save|saving\w*|offer|discount|off|quote|free|cost\w*|install\w*|program|deal)
(?:hot|sexy|lonely|single|mature|local|russian|asian|ukrainian|latin) (?:\w+ )?(?:girls?|women|woman|ladies|singles|milfs?|babes|moms|brides?)
(?:wants? to|waiting to|would like to|ready to) (?:meet|chat|date|hook ?up|fuck|talk)|(?:private|nude|naked|sexy|hot) (?:photos?|pics?|videos?|messages?)|hook-?ups?|dating
(?:limited|exclusive|special) (?:time )?(?:offer|deal|discount)|\d{1,2} ?% (?:off|discount|rabatt|de desconto|de descuento|sconto)|(?:shop|order|buy|act|claim|start|join|apply|get started) (?:now|today)
(?:seo|website|web design|rank\w*|google|first page|traffic|mobile app|backlinks?) (?:\w+ ){0,4}(?:services?|ranking|proposal|audit|packages?|first page|top|design\w*|development)
(?:empréstimo|crédito|cartão|consignado|limite|prestamo|préstamo|prêt|kredit|prestito)(?: \w+){0,4} (?:aprovad[oa]|aprobad[oa]|liberad[oa]|imediato|disponível|pré-?aprovad[oa]|sans|ohne|inmediato|sofort|pessoal)
"""

BUSINESS: Final = r"""
are you (?:available|free|at your desk|in the office|there|busy)|(?:do you have|got) a (?:moment|minute|second)
(?:need|want|like) (?:you|your) (?:to |assistance|help|urgent)(?: \w+){0,6}(?:task|favou?r|discreet\w*|quick|purchase|gift)
(?:send|give|text|share) me (?:your|a) (?:\w+ )?(?:cell|mobile|phone|whatsapp|number)
(?:purchase|buy|get|pick up) (?:some |a few |\d+ )?(?:\w+ )?gift ?cards?|scratch (?:off )?the
(?:change|update|switch) (?:\w+ ){0,3}(?:direct deposit|bank(?:ing)? (?:details|account|information)|payroll|account details)
(?:humanitarian|charity|donation|donate\w*|foundation|widow|orphan\w*|dying|cancer|diplomat\w*|barrister|attorney|late (?:client|husband|father)|next of kin|consignment|beneficiary|compensation fund|atm card|united nations|imf|world bank|fund transfer|million (?:us )?dollars|million usd|million euros?|usd ?\d+|\$ ?\d+(?:[.,]\d+)? ?(?:million|m\b))
(?:investment|business|mutual|lucrative|partnership) (?:proposal|opportunity|proposition|deal|transaction|benefit|partner|project)
(?:contact|write|reach|reply)(?: \w+){0,4} (?:for more details|for details|for further|for more information|for claim|private e-?mail|urgently|as soon as possible)
(?:your|my) (?:urgent|kind|quick|prompt) (?:response|reply|attention)|i am (?:mr|mrs|ms|miss|dr|barrister|engr|sgt|capt|gen|from|the (?:manager|director))|dear (?:friend|beloved|sir|madam|beneficiary|winner|customer|user|member|client|valued|e-?mail)|good day
"""

ROMANCE: Final = r"""
(?:russian|ukrain\w+|asian|latin\w?|thai|slavic|filipin\w+|single|lonely|mature|older) (?:\w+ )?(?:women|woman|girls?|ladies|brides?|beaut(?:y|ies)|singles)
(?:oekra[iï]en\w+|russische|aziatische|latijnse|slavische|thaise|eenzame|rijpe) (?:\w+ )?(?:vrouwen|meisjes|dames|schoonhe\w+|singles)
(?:ukrainische|russische|asiatische|slawische|thailändische|einsame|reife) (?:\w+ )?(?:frauen|mädchen|damen|schönheiten|singles)
(?:femmes|filles|célibataires) (?:ukrainiennes|russes|asiatiques|slaves|thaïlandaises|mûres|seules)
(?:mujeres|chicas|solteras|mulheres|garotas|solteiras|donne|ragazze) (?:\w+ )?(?:ucrania\w+|rus[as]\w*|asi[aá]tic\w+|latinas|eslavas|ucrain\w+|madur[ae]s?|sole)
"""

# What an advance-fee fraud has: a death, a sum, a bank's way with it, a plea from far away, and a share for silence.
INHERITANCE: Final = r"""
(?:dying|death ?bed|terminal\w*|cancer|widow\w*|orphan\w*|(?:my|the) late|deceased|passed away|died (?:in|of|without)|herd(?:ei|ou|é|ó)|hérit[ée]|geerbt|viúva|viuda|veuve|witwe|vedova|falecid[oa]|fallecid[oa]|défunte?|verstorben\w*|defunto|overleden)
(?:million|m) (?:us |united states |american )?(?:dollars?|usd|euros?|pounds)|(?:usd|us\$|\$|€|£|eur) ?\d[\d.,]* ?(?:m\b|million)|milh(?:ões|ão) de|mill(?:ones|ón) de|millions? (?:de|d')|millionen (?:us-)?(?:dollar|euro)|milioni di|miljoen (?:dollar|euro)
next of kin|beneficiar\w+|inherit\w+|unclaimed|foreign (?:account|partner|bank)|(?:transfer|release|claim|invest|move|use|receive) (?:of )?(?:the|this|my|these|that)(?: \w+)? (?:funds?|money|sum|amount)|herança|herencia|héritage|erbschaft|eredità|erfenis|benefici[aá]ri\w+|bénéficiaire|begünstigte\w*|conta (?:corrente|bancária)|cuenta bancaria|compte bancaire|(?:o|el|le|los) (?:fundos?|fondos?|fonds)
(?:surprise|unexpected|apolog\w+|sorry|forgive|excuse)(?: \w+){0,8} (?:letter|mail|message|contact\w*|writing)|carta surpresa|carta sorpresa|lettre surprise|peace of (?:the |our )?(?:lord|god)|(?:god|lord) bless|beloved|burkina faso|ivory coast|côte d'ivoire|costa (?:do|de) marfi[ml]|nigeria|benin|togo|ghana|dubai|syria|libya|afghanistan
confidential\w*|god[- ]fearing|(?:your|need) (?:\w+ )?(?:assistance|cooperation|partnership|trust)|trust ?worthy|less privileged|charity (?:work|project|purpose)s?|(?:work|orphan|church|less privileged|charity)(?: \w+){0,4} (?:god|poor|needy|widows?)|\d{1,2} ?(?:%|percent|por ?cento|por ciento|pour ?cent|prozent)|negócio (?:muito )?(?:importante|confidencial)|negocio (?:muy )?(?:importante|confidencial)|quero que (?:você )?me ajude|confidenci\w+|vertraulich\w*
"""

EXTORTION: Final = r"""
(?:recorded|filmed|recording|footage|video) (?:\w+ ){0,8}(?:you|yourself|webcam|camera|masturbat\w+|pleasur\w+|intimate|satisfy\w*)
(?:hacked|infected|malware|trojan|spyware|full access|access to)(?: \w+){0,6} (?:your )?(?:device|computer|account|operating system|system|phone|webcam|contacts|e-?mail)s?
(?:send|transfer|pay)(?: \S+){0,8} (?:bitcoin|btc|wallet|litecoin|monero)
(?:48|50|72|24) hours(?: \w+){0,8} (?:pay|payment|transfer|send|make)
(?:friends|family|relatives|colleagues|contacts)(?: \w+){0,8} (?:video|will see|receive|know about)
(?:adult|porn\w*) (?:\w+ ){0,2}(?:sites?|websites?|content|videos?)
(?:zugriff|aufgenommen|aufnahme|trojaner|bitcoin|webcam|piraté|enregistré|cheval de troie|hacke[ao]d?o|invadid[oa]|grabado|gravei|troyano|trojan)(?: \S+){0,10} (?:bitcoin|btc|video|vídeo|vidéo|webcam|wallet|kamera|câmera|cámara)
"""

URGENCY: Final = r"""
within (?:the next )?(?:\d{1,2}|twelve|twenty[- ]four|forty[- ]eight) ?(?:hours|hrs|days)|in the next \d+ (?:hours|days)
(?:immediate|urgent|prompt|required) (?:action|attention|response|verification|notice)|action (?:is )?(?:required|needed)|(?:final|last|second|urgent|important) (?:notice|warning|reminder|notification|chance|call|attempt)
(?:expires?|ends?|ending|valid (?:only )?(?:until|for)) (?:today|tonight|soon|tomorrow|in \d+)|as soon as possible|immediately|before it'?s too late|don'?t (?:miss|ignore|wait|delay)|avoid (?:\w+ ){0,2}(?:suspension|interruption|termination|losing|loss|fees?|closure|disruption|any)
(?:innerhalb|binnen) (?:von )?\w+ (?:stunden|tagen)|(?:umgehend|sofort|dringend|unverzüglich|letzte (?:mahnung|erinnerung|chance))
(?:sous|dans les|d'ici) \d+ ?(?:h\b|heures|jours)|(?:immédiatement|dès que possible|dernier (?:rappel|avis)|urgent)
(?:en|dentro de|antes de) (?:las? )?(?:próximas? )?\d+ ?(?:horas|h\b|días)|(?:inmediat\w+|último aviso|urgente|de inmediato|lo antes posible)
(?:em até|dentro de|nas próximas|no prazo de) \d+ ?(?:horas|h\b|dias)|(?:imediat\w+|último aviso|última chance|urgente|expira(?:m|ndo)? hoje|ainda hoje|evite (?:o |a )?(?:bloqueio|suspensão|cancelamento|multa|juros))
(?:entro|prossime) \d+ ore|(?:immediatamente|ultimo avviso|binnen \w+ (?:uur|dagen)|onmiddellijk|direct actie)
至急|緊急|重要|24時間|期限
"""

CLICK: Final = r"""
(?:click|tap|press) (?:on )?(?:the |this |here|below|button|link|now|to)
(?:follow|use|visit|open) (?:the|this) (?:secure |following )?(?:link|button|site|page|website)
(?:log|sign) ?in (?:now|here|to (?:your|view|continue|verify|review))|go to (?:my|your) account|get started
(?:klicken|tippen) sie|hier klicken|(?:über|auf) den (?:folgenden )?link|jetzt (?:\w+ )?(?:bestätigen|anmelden|aktualisieren|einlösen|sichern)
clique[rz]? (?:ici|sur)|(?:haga|haz|hacer|dar) clic|pulse? (?:aquí|en)|clique (?:aqui|no|em|abaixo)|acess(?:e|ar) (?:agora|aqui|o|a|já|sua|seu)|(?:resgat|consult|visualiz|baix|regulariz|atualiz)ar (?:agora|meus?|minha|aqui|pontos|fatura)
clicc?a(?:re|ndo)? (?:qui|su)|fai clic|klik (?:hier|op)|こちら|ログイン|нажмите|перейдите
"""

_KINDS: Final = {
    "account": ACCOUNT,
    "delivery": DELIVERY,
    "money": MONEY,
    "crypto": CRYPTO,
    "mailbox": MAILBOX,
    "document": DOCUMENT,
    "prize": PRIZE,
    "offer": OFFER,
    "business": BUSINESS,
    "romance": ROMANCE,
    "inheritance": INHERITANCE,
    "extortion": EXTORTION,
    "urgency": URGENCY,
    "click": CLICK,
}


def count(words: str) -> Mapping[str, int]:
    """Return how many different lures of each kind are in a text in lower case."""
    patterns, kinds = _compiled()
    return Counter(kinds[number] for number in patterns.Match(fold(words[:READ]).encode("utf-8", "replace")) or ())


def fold(words: str) -> str:
    """Return the text without accents, as it is written in haste; Japanese keeps its marks."""
    if words.isascii():
        return words
    apart = unicodedata.normalize("NFKD", words)
    return "".join(char for char in apart if (char < "\u3000" and not unicodedata.combining(char)) or char >= "\u3000")


@cache
def _compiled() -> tuple[re2.Filter, tuple[str, ...]]:
    """Return all lines behind a filter: one automaton looks for the words that they need, in linear time.

    A line is searched by itself only where its words are there. All lines as one automaton never get warm: with gaps
    of several words in many of them, each new text leads it to places where it was never before.
    """
    options = re2.Options()
    options.log_errors = False
    patterns = re2.Filter()
    kinds = []
    for kind, lines in _KINDS.items():
        for line in filter(None, lines.split("\n")):
            patterns.Add(fold(line), options)
            kinds.append(kind)
    patterns.Compile()
    return patterns, tuple(kinds)
