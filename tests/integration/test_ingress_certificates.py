"""What clients are shown: by name, and anew when the files change."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from services.core.clock import SystemClock
from services.core.errors import ConfigError
from services.ingress.certificates import Certificates
from services.ingress.config import IngressConfig
from services.ingress.tls import own_certificate
from tests.dialogs.door import CONFIG, connected, opened
from tests.eventually import eventually

NOW = 1_900_000_000.0


def pair(folder: Path, name: str, stem: str) -> Path:
    """Make x.crt and x.key for the name; return the first."""
    made = own_certificate(folder / f".{stem}", name, NOW)
    folder.mkdir(exist_ok=True)
    shutil.copy(made, folder / f"{stem}.key")
    return Path(shutil.copy(made, folder / f"{stem}.crt"))


def names(der: bytes) -> list[str]:
    extensions = x509.load_der_x509_certificate(der).extensions
    return extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


async def shown(port: int, asked: str | None) -> bytes:
    """Return the certificate that a client sees that asks for the name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"STARTTLS\r\n")
    assert (await reader.readline()).startswith(b"220")
    async with asyncio.timeout(10):
        await writer.start_tls(context, server_hostname=asked)
    engine: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = engine.getpeercert(binary_form=True)
    writer.transport.abort()
    assert der is not None
    return der


async def test_each_name_is_shown_its_own_certificate(tmp_path: Path) -> None:
    default = pair(tmp_path / "default", "mx.gatepost.test", "mx")
    sni = tmp_path / "sni"
    pair(sni, "mx.acme.test", "acme")
    pair(sni, "*.zeta.test", "zeta")
    changes = {"cert": str(default), "key": str(default.with_suffix(".key")), "sni_folder": str(sni)}
    async with opened(changes=changes) as door:
        assert names(await shown(door.port, "mx.acme.test")) == ["mx.acme.test"]
        assert names(await shown(door.port, "MX7.Zeta.test")) == ["*.zeta.test"]
        assert names(await shown(door.port, "a.mx.zeta.test")) == ["mx.gatepost.test"]
        assert names(await shown(door.port, "other.test")) == ["mx.gatepost.test"]
        assert names(await shown(door.port, "")) == ["mx.gatepost.test"]
        async with connected(door) as client:
            await client.until("220")
            await client.send("STARTTLS\r\n")
            await client.until("220")
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname = False
            old.verify_mode = ssl.CERT_NONE
            old.set_ciphers("DEFAULT@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1"):
                old.minimum_version = ssl.TLSVersion.TLSv1
            with pytest.warns(DeprecationWarning, match="TLSv1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await client.writer.start_tls(old, server_hostname="mx.acme.test")


async def test_new_files_are_shown_without_a_restart_and_bad_ones_never(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = pair(tmp_path / "one", "mx.one.test", "mx")
    sni = tmp_path / "sni"
    pair(sni, "mx.acme.test", "acme")
    config = IngressConfig(cert=str(file), key=str(file.with_suffix(".key")), sni_folder=str(sni))
    certificates = Certificates(config, SystemClock(), every=0.02)
    context = await certificates.start()
    assert context is not None

    async def handshake(asked: str) -> list[str]:
        """Shake hands in memory."""
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = context.wrap_bio(there, back, server_side=True)
        theirs = client.wrap_bio(back, there, server_hostname=asked)
        for _ in range(4):
            for side in (theirs, ours):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        der = theirs.getpeercert(binary_form=True)
        assert der is not None
        return names(der)

    try:
        assert await handshake("other.test") == ["mx.one.test"]
        pair(tmp_path / "two", "mx.two.test", "mx")
        file.write_text("half a certificate")
        await eventually(lambda: "event=certificates-kept" in caplog.text)
        assert await handshake("other.test") == ["mx.one.test"]
        for suffix in (".crt", ".key"):
            shutil.copy(tmp_path / "two" / f"mx{suffix}", file.with_suffix(suffix))
        pair(sni, "mx.new.test", "new")
        caplog.set_level("INFO")
        await eventually(lambda: "event=certificates-loaded names=2" in caplog.text)
        assert await handshake("other.test") == ["mx.two.test"]
        assert await handshake("mx.new.test") == ["mx.new.test"]
    finally:
        await certificates.close()


async def test_a_folder_that_can_not_be_used_is_one_line(tmp_path: Path) -> None:
    file = pair(tmp_path / "one", "mx.one.test", "mx")
    good = {"cert": str(file), "key": str(file.with_suffix(".key"))}
    for made, words in ((None, "no certificate"), ("x.crt", "x.crt: ")):
        sni = tmp_path / f"sni-{made}"
        sni.mkdir()
        if made:
            (sni / made).write_text("x")
        with pytest.raises(ConfigError, match=f"GATEPOST_INGRESS_SNI_FOLDER.*{words}"):
            async with opened(changes={**good, "sni_folder": str(sni)}):
                pass
    pair(sni, "mx.a.test", "x")
    pair(sni, "mx.a.test", "y")
    with pytest.raises(ConfigError, match=r"y\.crt: mx\.a\.test has a certificate already"):
        async with opened(changes={**good, "sni_folder": str(sni)}):
            pass
    assert CONFIG.sni_folder == ""
