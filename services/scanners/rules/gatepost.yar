/*
  The first rules. `status` is what a hit makes of the message (virus, suspicious), `score` what it weighs.
  A rule of an operator without `status` means virus.
*/

rule EICAR_Test_File {
  meta:
    description = "the test file of eicar.org"
    status = "virus"
    score = 100
  strings: // in octets, so that no virus scanner takes this file for the test file
    $eicar = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24
               45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 2D 41 4E 54 49 56 49 52 55 53 2D 54 45 53
               54 2D 46 49 4C 45 21 24 48 2B 48 2A }
  condition:
    $eicar
}

rule Windows_Executable {
  meta:
    description = "a Windows program"
    status = "suspicious"
    score = 7
  condition:
    uint16(0) == 0x5A4D and filesize > 64 and uint32(uint32(0x3C)) == 0x00004550
}

rule Windows_Shortcut {
  meta:
    description = "a Windows shortcut"
    status = "suspicious"
    score = 8
  condition:
    uint32(0) == 0x0000004C and uint32(4) == 0x00021401 and uint32(8) == 0 and uint32(12) == 0x000000C0
}

rule Rtf_Equation_Object {
  meta:
    description = "an RTF that embeds the Equation Editor (CVE-2017-11882)"
    status = "virus"
    score = 50
  strings:
    $object = "\\objdata"
    $class = "4571756174696f6e2e33" nocase
    $clsid = "02ce020000000000c000000000000046" nocase
  condition:
    uint32(0) == 0x74725C7B and $object and any of ($class, $clsid)
}

rule Office_Macro_That_Starts_Itself {
  meta:
    description = "an Office macro that runs when the file is opened and starts a program"
    status = "suspicious"
    score = 9
  strings:
    $open1 = "AutoOpen" nocase
    $open2 = "Document_Open" nocase
    $open3 = "Workbook_Open" nocase
    $open4 = "Auto_Open" nocase
    $run1 = "WScript.Shell" nocase
    $run2 = "powershell" nocase
    $run3 = "ShellExecute" nocase
    $run4 = "URLDownloadToFile" nocase
  condition:
    uint32(0) == 0xE011CFD0 and any of ($open*) and any of ($run*)
}

rule Html_Smuggling {
  meta:
    description = "HTML that builds a file out of itself and downloads it"
    status = "suspicious"
    score = 8
  strings:
    $decode = "atob(" nocase
    $blob = "new Blob(" nocase
    $url = "createObjectURL" nocase
    $save = "msSaveOrOpenBlob" nocase
    $download = ".download" nocase
  condition:
    $decode and $blob and ($save or ($url and $download))
}

rule Pdf_Starts_Program {
  meta:
    description = "a PDF that starts a program when it is opened"
    status = "suspicious"
    score = 9
  strings:
    $launch = "/Launch"
    $action = "/OpenAction"
  condition:
    uint32(0) == 0x46445025 and $launch and $action
}
