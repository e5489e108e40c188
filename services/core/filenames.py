"""What the ending of a file's name makes the receiver's machine do."""

from __future__ import annotations

import re
from typing import Final

# What a double click runs on Windows, macOS or Android, by its ending. Outlook's own list of blocked files, and since.
_PROGRAM_ENDINGS: Final = """
    ade adp apk app application appref-ms appx appxbundle bas bat chm cmd com cpl csh diagcab dll dmg exe
    gadget grp hlp hta htc inf ins isp jar jnlp js jse ksh library-ms lnk mad maf mam maq mar mas mat mau mav
    maw mcf mda mdb mde mdt mdw mdz msc msh msh1 msh2 mshxml msi msix msixbundle msp mst msu ocx ops osd pcd
    pif pkg pl plg prf prg ps1 ps1xml ps2 ps2xml psc1 psc2 psd1 psdm1 psm1 pssc py pyc pyo pyw pyz pyzw rdp reg
    scf scr sct search-ms searchconnector-ms settingcontent-ms sh shb shs slk theme themepack vb vbe vbp vbs
    vsmacros vsw webpnp website ws wsb wsc wsf wsh xbap xll xnk
"""
PROGRAMS: Final = frozenset(_PROGRAM_ENDINGS.split())
DISKS: Final = frozenset({"iso", "img", "vhd", "vhdx", "vmdk", "udf", "wim", "daa"})
SHORTCUTS: Final = frozenset({"url", "webloc", "desktop"})
PROGRAM_TYPES: Final = frozenset(
    {"pe", "elf", "macho", "lnk", "class", "chm", "hta", "wsf", "sct", "reg", "msi", "appx", "apk", "jar"}
)
_MACROS: Final = frozenset({"docm", "dotm", "xlsm", "xltm", "xlsb", "xlam", "pptm", "potm", "ppsm", "ppam", "sldm"})
_ENDINGS: Final = PROGRAMS | DISKS | SHORTCUTS | _MACROS
_TYPES: Final = PROGRAM_TYPES | {"iso", "disk", "mz", "batch", "script", "url"}
_TURNS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


def ending(name: str) -> str:
    """Return the ending that Windows would go by, in lower case: it passes over dots and spaces at the end."""
    last = _TURNS.sub("", name).rpartition("/")[2].rpartition("\\")[2].rstrip(" .\0").lower()
    return last.rpartition(".")[2].strip() if "." in last else ""


def dangerous(kind: str) -> bool:
    """Return whether an ending with its dot, or a type by content, is that of what acts when it is opened."""
    return kind.removeprefix(".") in _ENDINGS if kind.startswith(".") else kind in _TYPES
