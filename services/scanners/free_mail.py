"""Domains at which anybody gets a mailbox without saying who he is."""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
126.com 163.com aol.com att.net bigpond.com bk.ru bol.com.br btinternet.com comcast.net
earthlink.net excite.com fastmail.com free.fr freemail.hu freenet.de gmail.com gmx.at gmx.ch gmx.com
gmx.de gmx.net googlemail.com hanmail.net hotmail.co.uk hotmail.com hotmail.de hotmail.es hotmail.fr
hotmail.it icloud.com ig.com.br inbox.ru interia.pl juno.com laposte.net libero.it list.ru
live.co.uk live.com live.fr live.nl lycos.com mac.com mail.com mail.ru me.com msn.com naver.com
netscape.net netzero.net o2.pl onet.pl op.pl orange.fr outlook.com outlook.de outlook.es outlook.fr
proton.me protonmail.com qq.com rambler.ru rediffmail.com rocketmail.com seznam.cz sfr.fr sina.com
t-online.de terra.com.br tiscali.it tutanota.com ukr.net uol.com.br verizon.net virgilio.it
wanadoo.fr web.de wp.pl yahoo.ca yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.br yahoo.de
yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru yeah.net ymail.com zoho.com zohomail.com
"""
FREE_MAIL: Final = frozenset(_NAMES.split())
