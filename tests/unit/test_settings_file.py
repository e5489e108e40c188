"""Settings that last: read as others read such files, changed without touching what else the operator wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.settings_file import change, read
from services.core.errors import ConfigError


def test_it_is_read_as_an_environment_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("# ours\n\nGATEPOST_DNS = 127.0.0.1:53\nAWS_REGION='eu-1'\nGATEPOST_URL_LISTS=a=1,b=2\n")
    assert read(file) == {"GATEPOST_DNS": "127.0.0.1:53", "AWS_REGION": "eu-1", "GATEPOST_URL_LISTS": "a=1,b=2"}
    assert read(tmp_path / "none.env") == {}


@pytest.mark.parametrize("line", ["PATH=/bin", "GATEPOST_DNS", "gatepost_dns=x", "export GATEPOST_DNS=x"])
def test_what_is_no_setting_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "settings.env"
    file.write_text(f"# ours\n{line}\n")
    with pytest.raises(ConfigError, match="line 2"):
        read(file)
    with pytest.raises(ConfigError):
        change(file, {"GATEPOST_DNS": "x"})
    assert file.read_text() == f"# ours\n{line}\n"


def test_a_change_leaves_the_rest_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("# ours\nGATEPOST_DNS = 1.1.1.1\n\nGATEPOST_SHADOW=virus\nGATEPOST_HOSTNAME=mx.example\n")
    file.chmod(0o640)
    change(file, {"GATEPOST_DNS": "9.9.9.9", "GATEPOST_SHADOW": "", "GATEPOST_YARA_DIR": "/rules"})
    assert file.read_text() == (
        "# ours\nGATEPOST_DNS=9.9.9.9\n\nGATEPOST_HOSTNAME=mx.example\nGATEPOST_YARA_DIR=/rules\n"
    )
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["settings.env"]


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    change(tmp_path / "settings.env", {"GATEPOST_YARA_DIR": "/rules"})
    assert (tmp_path / "settings.env").stat().st_mode & 0o777 == 0o600
