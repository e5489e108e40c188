"""`gatepost train`: a model of the content scanner from folders of messages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from services.core.errors import ConfigError
from services.scanners.learned import model
from services.scanners.learned.train import train


def write(ham: Path, spam: Path, feedback: Sequence[Path], out: Path) -> str:
    """Train, put the model in place in one step, and return what to tell; raise ConfigError."""
    data = train(ham, spam, feedback)
    learned = model.load(data, str(out))
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=out.name, delete=False) as file:
            file.write(data)
        Path(file.name).chmod(0o644)
        os.replace(file.name, out)  # noqa: PTH105  # a worker that starts now reads the old one or the new one
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}") from error
    return f"{out}: {learned.version}, {len(learned)} features, {len(data)} octets"
