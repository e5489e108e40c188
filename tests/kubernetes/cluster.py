"""A release of the chart on the cluster that KUBECONFIG names, driven with helm and kubectl as an operator would."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import time
from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[2] / "k8s" / "gatepost"
VALUES = CHART / "ci" / "evaluation.yaml"
# All the load comes from one address, which an MX would slow down.
KNOWN = "services.ingress.env.GATEPOST_INGRESS_EXEMPT=10.0.0.0/8"
READ_MAILBOX = r"""
import os, re
found = []
for folder, _, names in os.walk("/tmp/mailbox"):
    for name in names:
        path = os.path.join(folder, name)
        if match := re.search(rb"^X-Load: (\S+)", open(path, "rb").read(8192), re.M):
            found.append(f"{match[1].decode()} {os.stat(path).st_mtime}")
print("\n".join(found))
"""


class CommandError(AssertionError):
    """helm or kubectl said no."""


def run(*command: str, within: float = 300, given: str | None = None) -> str:
    """Return what the command printed; raise CommandError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=within, input=given)
    if done.returncode:
        raise CommandError(f"{' '.join(command[:4])}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


@dataclasses.dataclass(frozen=True)
class Release:
    """One release in a namespace of its own."""

    name: str
    namespace: str
    image: str  # REPOSITORY:TAG, which the nodes have
    took: float = 0.0  # seconds of the installation

    def kubectl(self, *arguments: str, within: float = 300, given: str | None = None) -> str:
        return run("kubectl", "-n", self.namespace, *arguments, within=within, given=given)

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def _settings(self, sets: tuple[str, ...]) -> list[str]:
        repository, _, tag = self.image.rpartition(":")
        chosen = (f"image.repository={repository}", f"image.tag={tag}", KNOWN, *sets)
        return ["-n", self.namespace, "-f", str(VALUES), *(word for item in chosen for word in ("--set", item))]

    def install(self, *sets: str) -> float:
        """Install, wait until all is ready, and return the seconds that it took."""
        began = time.monotonic()
        run(
            "helm",
            "install",
            self.name,
            str(CHART),
            "--create-namespace",
            "--wait",
            "--timeout",
            "5m",
            *self._settings(sets),
        )
        return time.monotonic() - began

    def upgrade(self, *sets: str) -> None:
        run("helm", "upgrade", self.name, str(CHART), "--wait", "--timeout", "5m", *self._settings(sets))

    def uninstall(self) -> None:
        run("helm", "uninstall", self.name, "-n", self.namespace, "--wait", "--timeout", "3m")

    def deployment(self, name: str) -> str:
        return f"deploy/{self.name}-{name}"

    def scale(self, name: str, replicas: int) -> None:
        self.kubectl("scale", self.deployment(name), f"--replicas={replicas}")
        self.kubectl("rollout", "status", self.deployment(name), "--timeout=180s")

    def address(self, service: str) -> str:
        found: str = self.get("svc", f"{self.name}-{service}")["spec"]["clusterIP"]
        return found

    def arrived(self) -> dict[str, float]:
        """Return the marks of all messages in the mailbox that stands in for the customer's MTA, each with its time."""
        where = self.deployment("mailbox")
        lines = self.kubectl("exec", where, "--", "/opt/gatepost/bin/python", "-c", READ_MAILBOX).splitlines()
        return {mark: float(when) for mark, when in (line.split() for line in lines)}
