"""Our own certificate: whole or not at all, kept while it is good."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from services.ingress.tls import own_certificate

NOW = 1_700_000_000.0
YEAR = 365 * 86_400.0


def test_it_is_kept_while_it_is_good_and_made_anew_after(tmp_path: Path) -> None:
    path = own_certificate(tmp_path / "tls", "mx.gatepost.test", NOW)
    first = path.read_bytes()
    assert own_certificate(tmp_path / "tls", "mx.gatepost.test", NOW + 9 * YEAR).read_bytes() == first
    assert own_certificate(tmp_path / "tls", "mx.gatepost.test", NOW + 10 * YEAR).read_bytes() != first
    assert [file.name for file in (tmp_path / "tls").iterdir()] == [path.name]


def test_another_name_or_a_broken_file_makes_a_new_one(tmp_path: Path) -> None:
    path = own_certificate(tmp_path, "mx.gatepost.test", NOW)
    own_certificate(tmp_path, "mx2.gatepost.test", NOW)
    names = x509.load_pem_x509_certificate(path.read_bytes()).extensions
    assert names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == [
        "mx2.gatepost.test"
    ]
    path.write_text("half a cert")
    own_certificate(tmp_path, "mx2.gatepost.test", NOW)
    assert path.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
