"""The chart on a real cluster: `make e2e-k8s`. The cluster is KUBECONFIG's, and its nodes have the images."""

from __future__ import annotations

import collections
import dataclasses
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster import CommandError, Release, run
from tests.kubernetes.load import Load
from tests.parts import named, program

SLOW = Path(__file__).with_name("slow_engine.yaml")
WAVE = 4  # Deployments that are restarted together
BACKLOG = 225  # messages that wait for each replica of a scanner: a minute of its work


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    named("KUBECONFIG", "cluster")
    program("helm"), program("kubectl")
    release = Release("gatepost", "gatepost-e2e", os.environ.get("GATEPOST_TEST_IMAGE", "gatepost:test"))
    keep = bool(os.environ.get("GATEPOST_TEST_KEEP_RELEASE"))  # to run one test again on what is there
    there = keep and release.name in run("helm", "list", "-q", "-n", release.namespace).split()
    yield release if there else dataclasses.replace(release, took=release.install())
    if not keep:
        release.kubectl("delete", "namespace", release.namespace)


def eventually(true: Callable[[], bool], within: float = 120) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(1)
    return False


def steady_rate(times: list[float]) -> float:
    """Return how many a second came in the middle: before it replicas still start and join, after it some are done."""
    ordered = sorted(times)
    first, last = len(ordered) * 2 // 5, len(ordered) * 3 // 4
    return (last - first) / (ordered[last] - ordered[first])


def all_arrived(release: Release, accepted: list[str], within: float = 120) -> bool:
    return eventually(lambda: set(accepted) <= release.arrived().keys(), within)


def test_it_is_installed_within_three_minutes(release: Release) -> None:
    print(f"\nhelm install --wait: {release.took:.0f} s")
    assert release.took < 180


def test_helm_test_sends_a_clean_mail_and_a_virus(release: Release) -> None:
    said = run("helm", "test", release.name, "-n", release.namespace, "--timeout", "3m")
    assert "Succeeded" in said, said


def test_mail_to_the_ingress_service_arrives_at_the_sink(release: Release) -> None:
    with Load(release.address("ingress"), 25, rate=5, name="first") as load:
        assert eventually(lambda: len(load.accepted) >= 10, 30)
    assert not load.heard
    assert all_arrived(release, load.accepted)


def test_no_message_is_lost_whatever_is_done_to_the_release(release: Release) -> None:
    """Scale a scanner up and down, restart everything, upgrade, kill pods: all under a steady load."""
    services = [
        item["metadata"]["name"].removeprefix(f"{release.name}-")
        for item in release.get("deploy")["items"]
        if not item["metadata"]["name"].endswith("-mailbox")  # the stand-in for the customer's MTA keeps the proof
    ]
    for name in ("ingress", "delivery"):
        release.scale(name, 2)
    heard = collections.Counter[str]()
    with Load(release.address("ingress"), 25, rate=5) as load:

        def told(what: str) -> set[str]:
            """Return the answers since last time that weren't 250."""
            new = load.heard - heard
            heard.update(new)
            print(f"\n{what}: {len(load.accepted)} accepted by now, heard {dict(new)}")
            return set(new)

        release.scale("scanner-virus", 4)
        release.scale("scanner-virus", 1)
        assert told("scanner 1, 4, 1") <= {"421"}
        # Some at a time: on a node of two cores all of them starting beside those that serve take minutes.
        for wave in (services[at : at + WAVE] for at in range(0, len(services), WAVE)):
            for name in wave:
                release.kubectl("rollout", "restart", release.deployment(name))
            for name in wave:
                release.kubectl("rollout", "status", release.deployment(name), "--timeout=240s")
        assert told("rollout restart of everything") <= {"421"}
        # The mailbox must not restart: it keeps the proof.
        release.upgrade(
            *(f"services.{name}.env.GATEPOST_LOG_FORMAT=json" for name in ("ingress", "policy", "delivery"))
        )
        time.sleep(3)
        assert told("helm upgrade") <= {"421"}
        kill_some(release, services)
        # Who spoke with an ingress that was killed lost the connection, and nobody was refused for good.
        assert not {code for code in told("pods killed") if code.startswith("5")}
    assert len(load.accepted) > 100
    assert all_arrived(release, load.accepted), sorted(set(load.accepted) - release.arrived().keys())[:10]
    print(f"\n{len(load.accepted)} accepted, all of them arrived")
    # What `kubectl scale` set is still set after the upgrade.
    assert release.get(release.deployment("delivery"))["spec"]["replicas"] == 2


def kill_some(release: Release, services: list[str]) -> None:
    """Delete six pods of these services by force, one after the other."""
    chance = random.Random(7)
    for _ in range(6):
        pods = [
            pod["metadata"]["name"]
            for pod in release.get("pods", "-l", "app.kubernetes.io/name=gatepost")["items"]
            if pod["metadata"]["labels"]["app.kubernetes.io/component"] in services
        ]
        chosen = chance.choice(pods)
        print(f"\nkill {chosen}")
        release.kubectl("delete", "pod", chosen, "--force", "--grace-period=0", "--ignore-not-found")
        time.sleep(4)


def test_scanning_grows_with_replicas(release: Release) -> None:
    """With an engine that takes 200 ms a message, four replicas scan at least 3.5 times as fast as one."""
    release.kubectl("apply", "-f", "-", given=SLOW.read_text().replace("IMAGE", release.image))
    release.kubectl("rollout", "status", "deploy/slow-engine", "--timeout=120s")
    slow = (
        "rspamd.url=http://slow-engine:11333",
        "scanners.content.env.GATEPOST_SCANNER_IN_FLIGHT=1",
        "networkPolicy.enabled=false",
    )
    release.upgrade(*slow)
    rates = {}
    for replicas in (1, 4):
        release.scale("scanner-content", 0)
        with Load(release.address("ingress"), 25, rate=30, threads=8, name=f"grow{replicas}") as load:
            waiting = BACKLOG * replicas
            assert eventually(lambda load=load, waiting=waiting: len(load.accepted) >= waiting)  # type: ignore[misc]  # bound at once
        release.scale("scanner-content", replicas)
        assert all_arrived(release, load.accepted, 240)
        rates[replicas] = steady_rate([when for mark, when in release.arrived().items() if mark in set(load.accepted)])
        print(f"\n{replicas} replicas: {rates[replicas]:.1f} messages a second of {len(load.accepted)} that waited")
    assert rates[4] / rates[1] >= 3.5


def test_engines_are_deployments_of_their_own(release: Release) -> None:
    release.upgrade("clamd.enabled=true", "rspamd.enabled=true")
    said = run("helm", "test", release.name, "-n", release.namespace, "--timeout", "3m")
    assert "Succeeded" in said, said
    logs = release.kubectl("logs", release.deployment("clamd"), "--all-containers")
    assert "FOUND" in logs, logs[-500:]


def test_a_rollback_works(release: Release) -> None:
    release.upgrade("services.policy.env.GATEPOST_LOG_LEVEL=WARNING")
    run("helm", "rollback", release.name, "-n", release.namespace, "--wait", "--timeout", "5m")
    with Load(release.address("ingress"), 25, rate=5, name="rolled") as load:
        assert eventually(lambda: len(load.accepted) >= 10)
    assert all_arrived(release, load.accepted)


def test_a_wrong_value_is_refused_with_a_sentence(release: Release) -> None:
    with pytest.raises(CommandError, match="99,999"):
        release.upgrade("ingress.service.port=99999")
    with pytest.raises(CommandError, match="no scanner is called that; there are"):
        release.upgrade("scanners.virsu.replicas=2")


def test_uninstall_leaves_nothing(release: Release) -> None:
    release.kubectl("delete", "deploy,svc", "-l", "app=slow-engine")
    release.uninstall()

    def left() -> list[str]:
        kinds = "all,configmap,secret,serviceaccount,networkpolicy,pdb,pvc"
        names = release.kubectl("get", kinds, "-o", "name").split()
        return [name for name in names if name not in {"configmap/kube-root-ca.crt", "serviceaccount/default"}]

    assert eventually(lambda: not left(), 90), left()
