"""The one image: small, nobody's shell, and every scanner works in it with a root file system that can't be written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from services.cli.probe import EICAR
from tests.parts import program

IMAGE = os.environ.get("GATEPOST_TEST_IMAGE", "gatepost:test")
MOST = 215_000_000  # octets, unpacked; 13 million of them read PDFs and set reports in them
CONFINED = ("--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL")  # noqa: S108 - its own


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("docker"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_it_is_small() -> None:
    (said,) = json.loads(docker("image", "inspect", IMAGE).stdout)
    print(f"\n{IMAGE}: {said['Size'] / 1e6:.0f} MB")
    assert said["Size"] < MOST


@pytest.mark.parametrize("name", ["/bin/sh", "/bin/bash", "/usr/bin/apt-get", "/usr/local/bin/pip"])
def test_there_is_nothing_to_start_but_the_services(name: str) -> None:
    done = docker("run", *CONFINED, "--entrypoint", name, IMAGE)
    assert done.returncode != 0
    assert "no such file" in done.stderr


def test_it_is_nobody() -> None:
    (said,) = json.loads(docker("image", "inspect", IMAGE).stdout)
    assert said["Config"]["User"] == "10001:10001"


def test_every_scanner_works_in_it(tmp_path: Path) -> None:
    """`gatepost scan` starts the worker process and loads model, signatures and rules as the scanners do."""
    mail = tmp_path / "virus.eml"
    mail.write_text(f"From: a@sender.test\nTo: b@example.test\nSubject: invoice\n\n{EICAR}\n")
    tmp_path.chmod(0o755)
    done = docker("run", *CONFINED, "-v", f"{tmp_path}:/mail:ro", IMAGE, "scan", "/mail/virus.eml")
    assert "EICAR" in done.stdout, done.stdout + done.stderr
    for scanner in ("attachments", "content", "impersonation", "outbreak", "urls", "virus"):
        assert scanner in done.stdout


def test_the_services_have_certificates_of_public_authorities() -> None:
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    done = docker("run", *CONFINED, "--entrypoint", "/opt/gatepost/bin/python", IMAGE, "-c", code)
    assert int(done.stdout) > 50, done.stderr
