"""The certificate that STARTTLS shows: the operator's, or our own, made at the first start."""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.core.errors import ConfigError, StartError
from services.ingress.config import IngressConfig

_FILE: Final = "gatepost-mx.pem"  # certificate and key in one file: no crash leaves one without the other
_LIFETIME: Final = datetime.timedelta(days=3650)
_RENEW: Final = datetime.timedelta(days=30)


def server_context(config: IngressConfig, now: float) -> ssl.SSLContext | None:
    """Return what STARTTLS needs, None when neither a certificate nor a folder for ours is configured. Blocks on files.

    TLS 1.2 or later (RFC 8996). Raises ConfigError for a certificate that can't be used, StartError for a folder.
    """
    if config.cert:
        return _context(Path(config.cert), Path(config.key), "GATEPOST_INGRESS_CERT, GATEPOST_INGRESS_KEY")
    if config.cert_folder:
        own = own_certificate(Path(config.cert_folder), config.hostname, now)
        return _context(own, own, "GATEPOST_INGRESS_CERT_FOLDER")
    return None


def named_contexts(config: IngressConfig) -> dict[str, ssl.SSLContext]:
    """Return a context for each name that a certificate in `sni_folder` is for. Blocks on files.

    The folder holds pairs, x.crt with the chain and x.key; the names are those inside the certificate, wildcards too.
    Raises ConfigError, also for a name that two certificates are for.
    """
    found: dict[str, ssl.SSLContext] = {}
    if not config.sni_folder:
        return found
    try:
        files = sorted(Path(config.sni_folder).glob("*.crt"))
        for file in files:
            context = _context(file, file.with_suffix(".key"), f"GATEPOST_INGRESS_SNI_FOLDER, {file.name}")
            for name in _names(file):
                if name in found:
                    raise ConfigError(f"GATEPOST_INGRESS_SNI_FOLDER, {file.name}: {name} has a certificate already")
                found[name] = context
    except OSError as error:
        raise ConfigError(f"GATEPOST_INGRESS_SNI_FOLDER: {error.strerror}") from error
    if not found:
        raise ConfigError("GATEPOST_INGRESS_SNI_FOLDER: no certificate with a name in *.crt")
    return found


def _context(certificate: Path, key: Path, setting: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        bad = isinstance(error, ssl.SSLError)
        reason = "not a PEM certificate with its key" if bad else error.strerror
        raise ConfigError(f"{setting}: {reason}") from error
    return context


def _names(file: Path) -> list[str]:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def own_certificate(folder: Path, hostname: str, now: float) -> Path:
    """Return the file with our self-signed certificate and its key; make it when it is missing, old or another's."""
    path = folder / _FILE
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    try:
        if not _usable(path, hostname, moment):
            _write(path, _make(hostname, moment))
    except OSError as error:
        raise StartError(f"can't keep a certificate in {folder}: {error.strerror}") from error
    return path


def _usable(path: Path, hostname: str, now: datetime.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    return hostname in names.get_values_for_type(x509.DNSName) and certificate.not_valid_after_utc > now + _RENEW


def _make(hostname: str, now: datetime.datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private


def _write(path: Path, pem: bytes) -> None:
    """Put the file in place whole, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".gatepost-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
