"""The chart as helm renders it: what the cluster would be given, and what is refused with a sentence."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.scanners.registry import discover
from tests.chart.conftest import CHART, VALUES, Rendered, render
from tests.parts import named, program

EVALUATION = ("-f", str(CHART / "ci" / "evaluation.yaml"))
PRODUCTION = ("-f", str(CHART / "ci" / "production.yaml"))
MINIMAL = ("-f", str(CHART / "ci" / "minimal.yaml"))


def pod_of(item: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = item["spec"] if item["kind"] == "Pod" else item["spec"]["template"]["spec"]
    return spec


def environ(item: dict[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in pod_of(item)["containers"][0]["env"]}


def test_it_is_linted_without_a_word(helm: str, values: Path) -> None:
    done = subprocess.run(
        [helm, "lint", "--strict", str(CHART), "-f", str(values)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes_knows_every_field(helm: str, values: Path) -> None:
    """Render and check against the schemas of Kubernetes itself, strictly: an unknown field is a mistake."""
    schemas, conform = named("GATEPOST_TEST_K8S_SCHEMAS", "folder of schemas"), program("kubeconform")
    rendered = render(helm, "-f", str(values))
    assert rendered.code == 0, rendered.said
    done = subprocess.run(
        [
            conform,
            "-strict",
            "-summary",
            "-skip",
            "ScaledObject,TriggerAuthentication,PodMonitor",  # KEDA's and the Prometheus operator's
            "-schema-location",
            f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            "-",
        ],
        input=rendered.text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_there_is_a_deployment_for_each_service_and_each_scanner(helm: str) -> None:
    names = render(helm, *EVALUATION).of("Deployment").keys()
    services = {
        "ingress",
        "policy",
        "delivery",
        "quarantine",
        "reaper",
        "signals",
        "directory",
        "trace",
        "api",
        "console",
        "mailbox",
    }
    assert names == {f"gatepost-{name}" for name in services} | {f"gatepost-scanner-{name}" for name in discover()}


def test_the_door_for_what_goes_out_is_there_only_when_it_is_asked_for(helm: str) -> None:
    set_on = ("--set", "submission.enabled=true,submission.existingSecret=keys")
    rendered = render(helm, *PRODUCTION, *set_on)
    for kind in ("Deployment", "Service", "NetworkPolicy"):
        added = rendered.of(kind).keys() - render(helm, *PRODUCTION).of(kind).keys()
        assert added == {"gatepost-submission"}, kind
    ports = rendered.of("Service")["gatepost-submission"]["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(587, "submission"), (465, "submissions")]
    env = {entry["name"]: entry for entry in container_of(rendered, "gatepost-submission")["env"]}
    assert env["GATEPOST_SUBMISSION_HOST"]["value"] == "0.0.0.0"  # noqa: S104  # in a pod of its own
    assert "GATEPOST_SUBMISSION_CERT" in env or "GATEPOST_SUBMISSION_CERT_FOLDER" in env
    assert env["GATEPOST_SUBMISSION_TLS_PORT"]["value"] == "2465"
    named = {port["name"]: port["containerPort"] for port in container_of(rendered, "gatepost-submission")["ports"]}
    assert named.items() >= {"submission": 2587, "submissions": 2465}.items()
    assert "GATEPOST_DKIM_KEY" not in env
    for name in ("delivery", "console"):  # which sign, and which make keys
        told = {entry["name"]: entry for entry in container_of(rendered, f"gatepost-{name}")["env"]}
        assert told["GATEPOST_DKIM_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "keys", "key": "dkim-key"}


def test_the_users_console_is_there_only_when_it_is_asked_for(helm: str) -> None:
    set_on = ("--set", "users.enabled=true,users.existingSecret=keys,users.url=https://held.acme.example")
    before, rendered = render(helm, *PRODUCTION), render(helm, *PRODUCTION, *set_on)
    assert rendered.of("Deployment").keys() - before.of("Deployment").keys() == {"gatepost-users"}
    assert rendered.of("Service").keys() - before.of("Service").keys() == {"gatepost-users", "gatepost-directory"}
    key = {"secretKeyRef": {"name": "keys", "key": "users-key"}}
    for name in ("users", "api", "console", "directory"):
        assert environ(rendered.of("Deployment")[f"gatepost-{name}"])["GATEPOST_USERS_KEY"] == key, name
    for name in ("api", "console", "directory"):
        assert "GATEPOST_USERS_KEY" not in environ(before.of("Deployment")[f"gatepost-{name}"]), name
    env = {entry["name"]: entry.get("value") for entry in container_of(rendered, "gatepost-users")["env"]}
    assert env["GATEPOST_USERS_API"] == "http://gatepost-api:8480"
    assert env["GATEPOST_USERS_DIRECTORY"] == "http://gatepost-directory:8484"
    assert env["GATEPOST_USERS_URL"] == "https://held.acme.example"
    assert "GATEPOST_QUARANTINE_KEY" not in env
    assert render(helm, *PRODUCTION, "--set", "users.enabled=true").code != 0


def container_of(rendered: Rendered, name: str) -> dict[str, Any]:
    (container,) = pod_of(rendered.of("Deployment")[name])["containers"]
    return dict(container)


def test_replicas_are_nobodys_but_the_operators(helm: str) -> None:
    """A number in the manifest would reset what `kubectl scale` and autoscalers set."""
    assert all("replicas" not in item["spec"] for item in render(helm, *EVALUATION).of("Deployment").values())
    there = render(helm, *PRODUCTION).of("Deployment")
    assert {n for n, item in there.items() if "replicas" in item["spec"]} == {
        "gatepost-delivery",
        "gatepost-scanner-virus",
    }


def test_pods_may_do_nothing_that_they_need_not(helm: str, values: Path) -> None:
    engines = {"clamd", "rspamd", "kafka", "s3", "postgres"}  # other people's images
    for item in render(helm, "-f", str(values)).objects:
        if item["kind"] not in {"Deployment", "Job", "Pod", "StatefulSet"}:
            continue
        pod, name = pod_of(item), item["metadata"]["name"]
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["resources"]["limits"]["memory"], name
            if container["name"] in engines:
                continue
            assert pod["securityContext"]["runAsNonRoot"] is True, name
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_an_evaluation_fits_a_node_of_two_cores(helm: str) -> None:
    """Twice over: a rollout starts each pod's successor beside it, and someone will scale."""

    def millicores(container: dict[str, Any]) -> int:
        cpu = container["resources"]["requests"]["cpu"]
        assert cpu.endswith("m"), cpu
        return int(cpu.removesuffix("m"))

    rendered = render(helm, *EVALUATION)
    pods = [pod_of(item) for kind in ("Deployment", "StatefulSet", "Job", "Pod") for item in rendered.of(kind).values()]
    asked = sum(
        max(sum(map(millicores, pod["containers"])), *map(millicores, pod.get("initContainers", ())), 0) for pod in pods
    )
    assert 2 * asked < 2000
    earnest = pod_of(render(helm, *PRODUCTION).of("Deployment")["gatepost-scanner-virus"])
    assert earnest["containers"][0]["resources"]["requests"]["cpu"] == "200m"


def test_nothing_selects_the_pods_of_helm_test(helm: str) -> None:
    """A Deployment or Service whose selector matches the test's pod counts it as its own."""
    objects = render(helm, *EVALUATION).objects
    (pod,) = [item for item in objects if item["kind"] == "Pod"]
    labels = pod["metadata"]["labels"]
    for item in objects:
        selector = item.get("spec", {}).get("selector", {})
        wanted = selector.get("matchLabels", selector)
        if item["kind"] in {"Deployment", "Service", "StatefulSet"}:
            assert not wanted.items() <= labels.items(), item["metadata"]["name"]


def test_secrets_are_named_and_never_written(helm: str) -> None:
    rendered = render(helm, *PRODUCTION)
    assert rendered.of("Secret") == {}
    seen = environ(rendered.of("Deployment")["gatepost-quarantine"])
    assert seen["GATEPOST_KAFKA_PASSWORD"] == {"secretKeyRef": {"name": "gatepost-kafka", "key": "password"}}
    assert seen["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "gatepost-s3", "key": "secret-access-key"}}
    assert seen["GATEPOST_DATABASE"] == {"secretKeyRef": {"name": "gatepost-database", "key": "url"}}
    assert seen["GATEPOST_QUARANTINE_KEY"] == {"secretKeyRef": {"name": "gatepost-quarantine", "key": "key"}}
    policy = environ(rendered.of("Deployment")["gatepost-policy"])
    assert not {"GATEPOST_DATABASE", "GATEPOST_QUARANTINE_KEY"} & policy.keys()


def test_a_scanner_is_given_only_the_engine_that_it_asks_for(helm: str) -> None:
    there = render(helm, *PRODUCTION).of("Deployment")
    assert environ(there["gatepost-scanner-virus"])["GATEPOST_CLAMD"] == "gatepost-clamd:3310"
    assert "GATEPOST_RSPAMD" not in environ(there["gatepost-scanner-virus"])
    assert environ(there["gatepost-scanner-content"])["GATEPOST_RSPAMD"] == "http://gatepost-rspamd:11333"
    assert environ(there["gatepost-scanner-content"])["GATEPOST_SCANNERS"] == "content"
    assert "gatepost-scanner-content" not in render(helm, *MINIMAL).of("Deployment")


SHADOWS = """
scanners:
  virus: {replicas: 3, env: {GATEPOST_DNS: 10.0.0.1}, rules: {existingConfigMap: old-rules}}
shadows:
  new-rules: {scanner: virus, rules: {existingConfigMap: new-rules}}
  next: {scanner: content, image: {tag: 0.2.0}, env: {GATEPOST_RSPAMD: "http://next:11333"}, keda: {enabled: true}}
"""


@pytest.fixture
def with_shadows(tmp_path: Path) -> tuple[str, ...]:
    """The production values with two shadows."""
    (tmp_path / "shadows.yaml").write_text(SHADOWS)
    return (*PRODUCTION, "-f", str(tmp_path / "shadows.yaml"))


def test_a_shadow_is_as_its_live_scanner_but_for_what_it_says(helm: str, with_shadows: tuple[str, ...]) -> None:
    rendered = render(helm, *with_shadows)
    there = rendered.of("Deployment")
    shadow, live = there["gatepost-shadow-new-rules"], there["gatepost-scanner-virus"]
    assert pod_of(shadow)["containers"][0]["args"] == ["run", "shadow"]
    told = environ(shadow)
    assert (told["GATEPOST_SHADOW"], told["GATEPOST_SHADOW_YARA_DIR"]) == ("new-rules=virus", "/etc/gatepost/rules")
    assert (told["GATEPOST_DNS"], told["GATEPOST_CLAMD"]) == ("10.0.0.1", "gatepost-clamd:3310")
    assert environ(live)["GATEPOST_YARA_DIR"] == "/etc/gatepost/rules"
    assert rules_of(shadow) == "new-rules"
    assert rules_of(live) == "old-rules"
    assert "replicas" not in shadow["spec"]
    changed = there["gatepost-shadow-next"]
    assert pod_of(changed)["containers"][0]["image"] == "gatepost:0.2.0"
    assert pod_of(changed)["initContainers"][0]["image"].startswith("gatepost@sha256:")  # waits for today's topics
    told = pod_of(changed)["containers"][0]["env"]
    assert [e["value"] for e in told if e["name"] == "GATEPOST_RSPAMD"] == ["http://next:11333"]
    scaled = rendered.of("ScaledObject")["gatepost-shadow-next"]["spec"]["triggers"][0]["metadata"]
    assert scaled["consumerGroup"] == "shadow-next"
    policies = rendered.of("NetworkPolicy")
    assert (
        policies["gatepost-shadow-new-rules"]["spec"]["egress"] == policies["gatepost-scanner-virus"]["spec"]["egress"]
    )


def test_no_plan_and_no_scanner_knows_of_a_shadow(helm: str, with_shadows: tuple[str, ...]) -> None:
    job = environ(next(iter(render(helm, *with_shadows).of("Job").values())))
    assert job["GATEPOST_SCANNERS"] == ",".join(sorted(discover()))
    live = render(helm, *with_shadows).of("Deployment")["gatepost-scanner-content"]
    assert environ(live)["GATEPOST_RSPAMD"] == "http://gatepost-rspamd:11333"
    assert "GATEPOST_SHADOW" not in environ(live)


def test_a_promoted_shadow_is_the_live_scanner(helm: str, with_shadows: tuple[str, ...]) -> None:
    there = render(
        helm,
        *with_shadows,
        *("--set", "shadows.new-rules.promoted=true,shadows.next.promoted=true,scanners.content.enabled=false"),
    )
    deployments = there.of("Deployment")
    assert not [name for name in deployments if "-shadow-" in name]
    assert rules_of(deployments["gatepost-scanner-virus"]) == "new-rules"
    assert deployments["gatepost-scanner-virus"]["spec"]["replicas"] == 3
    live = deployments["gatepost-scanner-content"]  # was not in the plan, and is now
    assert pod_of(live)["containers"][0]["image"] == "gatepost:0.2.0"
    assert environ(live)["GATEPOST_RSPAMD"] == "http://next:11333"
    assert "content" in environ(next(iter(there.of("Job").values())))["GATEPOST_SCANNERS"].split(",")


def rules_of(item: dict[str, Any]) -> str:
    (volume,) = [volume for volume in pod_of(item)["volumes"] if volume["name"] == "rules"]
    return str(volume["configMap"]["name"])


def test_the_plan_is_that_of_the_scanners_which_run(helm: str) -> None:
    (job,) = render(helm, *MINIMAL).of("Job").values()
    assert environ(job)["GATEPOST_SCANNERS"] == ",".join(sorted(set(discover()) - {"content"}))


def test_provisioning_comes_before_everything(helm: str) -> None:
    (job,) = render(helm, *PRODUCTION).of("Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade,pre-rollback"
    assert "--customers" in pod_of(job)["containers"][0]["args"]
    (account,) = [a for n, a in render(helm, *PRODUCTION).of("ServiceAccount").items() if n.endswith("-provision")]
    assert pod_of(job)["serviceAccountName"] == account["metadata"]["name"]
    assert account["metadata"]["annotations"].items() > job["metadata"]["annotations"].items() - {
        ("helm.sh/hook-weight", "0")
    }  # it is there before the Job is, and has what the operator's cloud asks for
    (job,) = render(helm, *EVALUATION).of("Job").values()  # its Kafka is made by the same release
    assert "annotations" not in job["metadata"]
    for item in render(helm, *EVALUATION).of("Deployment").values():
        assert pod_of(item)["initContainers"][0]["args"] == ["await"]


def test_each_service_may_reach_what_it_needs_and_nothing_else(helm: str) -> None:
    rendered = render(helm, *PRODUCTION)
    policies = rendered.of("NetworkPolicy")
    assert policies.keys() == {*rendered.of("Deployment"), "gatepost-provision"}

    def ports(name: str) -> set[int]:
        return {p["port"] for rule in policies[f"gatepost-{name}"]["spec"]["egress"] for p in rule.get("ports", [])}

    assert ports("policy") == {53, 9093}
    assert ports("reaper") == {53, 9093, 443}
    assert ports("quarantine") == {53, 9093, 443, 5432}
    assert ports("scanner-virus") == {53, 9093, 443, 3310}
    assert ports("clamd") == {53, 80, 443}  # its signatures
    assert all(policy["spec"]["policyTypes"] == ["Ingress", "Egress"] for policy in policies.values())
    inside = render(helm, *EVALUATION).of("NetworkPolicy")
    assert inside.keys() >= {"gatepost-kafka", "gatepost-s3", "gatepost-postgres"}
    assert inside["gatepost-s3"]["spec"]["egress"] == []


def test_a_setting_stands_once_and_the_operators_word_wins(helm: str) -> None:
    """Of two of one name Kubernetes takes the last, and an upgrade may remove the wrong one."""
    own = "scanners.virus.env.GATEPOST_SCANNER_WORKERS=3,env.GATEPOST_CLAMD_MAX=26214400,env.GATEPOST_METRICS_PORT=9000"
    rendered = render(helm, *EVALUATION, "--set", own)
    for item in rendered.of("Deployment").values():
        for container in pod_of(item)["containers"] + pod_of(item).get("initContainers", []):
            names = [entry["name"] for entry in container.get("env", [])]
            assert len(names) == len(set(names)), item["metadata"]["name"]
    virus = environ(rendered.of("Deployment")["gatepost-scanner-virus"])
    assert virus["GATEPOST_SCANNER_WORKERS"] == "3"
    assert environ(rendered.of("Deployment")["gatepost-scanner-content"])["GATEPOST_SCANNER_WORKERS"] == "1"


def test_everyone_is_told_the_same_partitions(helm: str) -> None:
    """A service that cuts the topics otherwise would look for a message's key where it isn't."""
    rendered = render(helm, *EVALUATION, "--set", "kafka.partitions=4,shadows.new.scanner=auth")
    told = [
        {e["name"]: e.get("value") for e in container["env"]}["GATEPOST_PARTITIONS"]
        for kind in ("Deployment", "Job", "Pod")
        for item in rendered.of(kind).values()
        for container in pod_of(item)["containers"] + pod_of(item).get("initContainers", [])
    ]
    assert set(told) == {"4"}
    assert len(told) > 2 * len(discover())


def test_the_kubelet_waits_for_every_pause_before_a_stop(helm: str) -> None:
    """SIGKILL comes after preStop, the drain, and what a stop itself may take (docs/operating.md)."""
    own = "env.GATEPOST_DRAIN_SECONDS=20,services.policy.env.GATEPOST_DRAIN_SECONDS=2.5"
    for settings, waits in ((), 45), (("--set", own), 65):
        there = {
            name: pod_of(item)["terminationGracePeriodSeconds"]
            for name, item in render(helm, *EVALUATION, *settings).of("Deployment").items()
        }
        assert there["gatepost-delivery"] == waits
        assert there["gatepost-ingress"] == waits + 5
        assert there["gatepost-scanner-virus"] == waits + 15
        assert there["gatepost-policy"] == (48 if settings else 45)


def test_a_large_number_stays_one(helm: str, tmp_path: Path) -> None:
    """Helm reads numbers of a values file as floating-point: 26214400 must not become 2.62144e+07."""
    values = tmp_path / "values.yaml"
    values.write_text(
        "env: {GATEPOST_CLAMD_MAX: 26214400, GATEPOST_INGRESS_TARPIT: 1.5, GATEPOST_RELAY_STARTTLS: false}\n"
    )
    seen = environ(render(helm, *EVALUATION, "-f", str(values)).of("Deployment")["gatepost-ingress"])
    assert seen["GATEPOST_CLAMD_MAX"] == "26214400"
    assert seen["GATEPOST_INGRESS_TARPIT"] == "1.5"
    assert seen["GATEPOST_RELAY_STARTTLS"] == "false"


def test_keda_proves_itself_to_kafka_as_the_services_do(helm: str) -> None:
    rendered = render(helm, *PRODUCTION)
    (scaled,) = [item for name, item in rendered.of("ScaledObject").items() if name == "gatepost-policy"]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "gatepost-kafka"}
    assert (trigger["metadata"]["tls"], trigger["metadata"]["sasl"]) == ("enable", "scram_sha512")
    (said,) = rendered.of("TriggerAuthentication").values()
    given = {ref["parameter"]: (ref["name"], ref["key"]) for ref in said["spec"]["secretTargetRef"]}
    assert given["password"] == ("gatepost-kafka", "password")
    plain = render(helm, *MINIMAL, "--set", "services.policy.keda.enabled=true")
    assert plain.of("TriggerAuthentication") == {}
    (trigger,) = plain.of("ScaledObject")["gatepost-policy"]["spec"]["triggers"]
    assert "authenticationRef" not in trigger


def test_the_senders_address_is_kept(helm: str) -> None:
    rendered = render(helm, *PRODUCTION)
    assert rendered.of("Service")["gatepost-ingress"]["spec"]["externalTrafficPolicy"] == "Local"
    assert environ(rendered.of("Deployment")["gatepost-ingress"])["GATEPOST_INGRESS_PROXY_FROM"] == "10.1.0.0/16"


WRONG = {
    "evaluation.enabled=false": "name your Kafka",
    "evaluation.s3.image=": "name an image of an S3 server",
    "kafka.bootstrap=kafka:9092": "brings its own Kafka",
    "scanners.virsu.replicas=2": "no scanner is called that; there are attachments,",
    "shadows.new.scanner=virsu": "no scanner is called virsu; there are attachments,",
    "shadows.New_Rules.scanner=virus": "does not match pattern",
    "shadows.new.promoted=true": "missing property 'scanner'",
    "shadows.a.scanner=auth,shadows.a.promoted=true,shadows.b.scanner=auth,shadows.b.promoted=true": "choose one",
    "shadows.new.scanner=auth,shadows.new.rules.existingConfigMap=x": "this scanner reads no folder of rules",
    "ingress.service.port=99999": "maximum: got 99,999, want 65,535",
    "services.delivery.replicas=two": "got string, want integer",
    "services.policy.autoscaling.enabled=true,services.policy.keda.enabled=true": "choose one",
    "services.policy.autoscaling.enabled=true,services.policy.replicas=2": "leave replicas out",
    "services.ingress.autoscaling.enabled=true,services.ingress.autoscaling.max=1": "write a max of at least min",
    "services.ingress.keda.enabled=true": "has no consumer group; use autoscaling",
    "clamd.enabled=true,clamd.addresses={other:3310}": "choose one",
    "env.GATEPSOT_DNS=x": "GATEPSOT_DNS",
    "kafka.partitions=0": "minimum: got 0, want 1",
    "env.GATEPOST_PARTITIONS=4": "write kafka.partitions",
    "services.policy.env.GATEPOST_PARTITIONS=4": "write kafka.partitions",
    "hostname=not a name": "does not match pattern",
    "ingres.port=25": "additional properties 'ingres' not allowed",
}


@pytest.mark.parametrize("change", WRONG)
def test_a_wrong_value_is_refused_with_a_sentence(helm: str, change: str) -> None:
    rendered = render(helm, *EVALUATION, "--set", change)
    assert rendered.code != 0
    assert WRONG[change] in rendered.said


def test_every_value_is_in_the_schema(helm: str) -> None:
    """A value that the schema doesn't know could not be set."""
    assert json.loads((CHART / "values.schema.json").read_text())["additionalProperties"] is False
    assert render(helm, *MINIMAL).code == 0


def test_there_are_several_values_files() -> None:
    assert len(VALUES) >= 3


def test_two_releases_share_nothing(helm: str) -> None:
    first, second = render(helm, *EVALUATION), render(helm, *EVALUATION, release="other")
    names = [{(i["kind"], i["metadata"]["name"]) for i in r.objects} for r in (first, second)]
    assert not names[0] & names[1]
