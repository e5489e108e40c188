"""The embedded broker without Java: its lock of jars, its settings, its last words, and a process that went stale."""

import asyncio
import errno
import hashlib
import signal
import sys
from pathlib import Path

import pytest

from services.core.errors import StartError
from services.runtime import broker_jars
from services.runtime.broker import Ports, check_room, read_ports, stop_stale
from services.runtime.broker_jars import Jar, cache_folder, ensure_jars, read_lock
from services.runtime.broker_jvm import Jvm, telling_line
from services.runtime.broker_settings import render, settings
from tests.eventually import eventually

CONTENT = {"one": b"the first jar", "two": b"the second jar"}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "jars.lock"
    path.write_text(
        "".join(f"{hashlib.sha256(c).hexdigest()}  org.example:{name}:1.0\n" for name, c in CONTENT.items())
    )
    return path


class Shop:
    """Hands out jars, counts them, and can be told to hand out something else or to fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.content = dict(CONTENT)
        self.failures: list[Exception] = []

    def __call__(self, jar: Jar, workdir: Path) -> Path:
        self.asked.append(jar.artifact)
        if self.failures:
            raise self.failures.pop()
        path = workdir / "download"
        path.write_bytes(self.content[jar.artifact])
        return path


def test_the_committed_lock_names_kafka_and_every_jar_once() -> None:
    jars = read_lock(broker_jars.LOCK.read_text(encoding="ascii"))
    names = [jar.name for jar in jars]
    assert f"kafka_2.13-{broker_jars.VERSION}.jar" in names
    assert "slf4j-simple-1.7.36.jar" in names
    assert len(set(names)) == len(names) == 45


@pytest.mark.parametrize("line", ["", "kafka.jar", "beef  org.example:one:1.0", f"{'a' * 64}  org.example:one"])
def test_a_lock_that_says_something_else_is_refused(line: str) -> None:
    with pytest.raises(StartError, match="line 1 of"):
        read_lock(f"{line}\n")


async def test_jars_are_fetched_once_and_then_only_checked(tmp_path: Path, lock: Path) -> None:
    shop = Shop()
    first = await ensure_jars(tmp_path / "cache", shop, lock=lock)
    again = await ensure_jars(tmp_path / "cache", shop, lock=lock)
    assert first == again
    assert [path.read_bytes() for path in first] == list(CONTENT.values())
    assert sorted(shop.asked) == ["one", "two"]


async def test_two_that_need_the_jars_at_once_fetch_them_once(tmp_path: Path, lock: Path) -> None:
    shop = Shop()
    await asyncio.gather(*(ensure_jars(tmp_path / "cache", shop, lock=lock) for _ in range(4)))
    assert sorted(shop.asked) == ["one", "two"]


async def test_a_changed_jar_in_the_cache_is_not_used_but_fetched_again(tmp_path: Path, lock: Path) -> None:
    shop = Shop()
    one, two = await ensure_jars(tmp_path / "cache", shop, lock=lock)
    two.write_bytes(b"the second jaR")
    await ensure_jars(tmp_path / "cache", shop, lock=lock)
    assert two.read_bytes() == CONTENT["two"]
    assert sorted(shop.asked) == ["one", "two", "two"]
    assert one.read_bytes() == CONTENT["one"]


async def test_a_download_with_another_hash_is_refused_and_not_kept(tmp_path: Path, lock: Path) -> None:
    shop = Shop()
    shop.content["two"] = b"something else"
    with pytest.raises(StartError, match=r"two-1\.0\.jar .* refused"):
        await ensure_jars(tmp_path / "cache", shop, lock=lock)
    assert not list((tmp_path / "cache").rglob("two-1.0.jar"))
    await eventually(lambda: not list((tmp_path / "cache").rglob("download")))  # the other one's thread ends by itself


async def test_a_download_that_fails_is_tried_again(tmp_path: Path, lock: Path) -> None:
    shop = Shop()
    shop.failures = [ConnectionResetError(), RuntimeError("not found in remote repositories")]
    assert len(await ensure_jars(tmp_path / "cache", shop, lock=lock, pause=0)) == len(CONTENT)


async def test_a_machine_that_is_offline_hears_one_line(tmp_path: Path, lock: Path) -> None:
    shop = Shop()
    shop.failures = [ConnectionError("x" * 500) for _ in range(20)]
    with pytest.raises(StartError, match="connect this machine, or name a broker with --kafka") as failure:
        await ensure_jars(tmp_path / "cache", shop, lock=lock, pause=0)
    assert "\n" not in str(failure.value)


async def test_a_full_cache_disk_is_said_at_once(tmp_path: Path, lock: Path) -> None:
    shop = Shop()
    shop.failures = [OSError(errno.ENOSPC, "No space left on device") for _ in range(20)]
    with pytest.raises(StartError, match=r"can't be kept in .*: no space left on device"):
        await ensure_jars(tmp_path / "cache", shop, lock=lock)
    assert len(shop.asked) <= len(CONTENT)


async def test_a_cache_that_can_not_be_made_is_said(tmp_path: Path, lock: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"can't be kept in .*: not a directory; set XDG_CACHE_HOME"):
        await ensure_jars(tmp_path / "file", Shop(), lock=lock)


@pytest.mark.parametrize(
    ("environ", "parent"), [({"XDG_CACHE_HOME": "/c"}, Path("/c")), ({"XDG_CACHE_HOME": "c"}, None), ({}, None)]
)
def test_the_cache_follows_the_xdg_base_directories(environ: dict[str, str], parent: Path | None) -> None:
    assert cache_folder(environ) == (parent or Path.home() / ".cache") / "gatepost"


def test_the_broker_listens_on_loopback_alone() -> None:
    values = settings(Path("/data/kafka"), 19092, 19093)
    listeners = f"{values['listeners']},{values['advertised.listeners']}".split(",")
    assert {entry.split("//")[1].rpartition(":")[0] for entry in listeners} == {"127.0.0.1"}
    assert values["advertised.listeners"] == "PLAINTEXT://127.0.0.1:19092"


def test_settings_of_the_caller_win() -> None:
    values = settings(Path("/data/kafka"), 1, 2, {"log.segment.bytes": "1048576"})
    assert values["log.segment.bytes"] == "1048576"
    assert values["auto.create.topics.enable"] == "false"


def test_a_folder_of_any_name_reaches_java_unchanged() -> None:
    assert render({"log.dirs": "/d/Zoë\\x 📨"}) == "log.dirs=/d/Zo\\u00eb\\\\x \\ud83d\\udce8\n"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [
                "ERROR DataPlaneAcceptor - Unable to start acceptor for CONTROLLER",
                "KafkaException: Socket server failed to bind to 127.0.0.1:1: Address already in use.",
                "\tat kafka.network.Acceptor.start(SocketServer.scala:511)",
                "Caused by: java.net.BindException: Address already in use",
                "ERROR ProcessTerminatingFaultHandler - Encountered fatal fault: caught exception",
            ],
            "KafkaException: Socket server failed to bind to 127.0.0.1:1: Address already in use.",
        ),
        (["WARN x", "ERROR first", "\tat somewhere", "Caused by: the reason", "\t... 18 more"], "the reason"),
        (["Error occurred during initialization of VM", "Could not reserve enough space for 524288KB object heap"],
         "Could not reserve enough space for 524288KB object heap"),
        (
            [
                "ERROR kafka.Kafka$ - Exiting Kafka due to fatal exception",
                "java.lang.RuntimeException: No readable meta.properties files found.",
                "\tat org.apache.kafka.metadata.properties.MetaPropertiesEnsemble.verify(Meta.java:493)",
            ],
            "java.lang.RuntimeException: No readable meta.properties files found.",
        ),
        (["only words", "\tat somewhere"], "only words"),
        ([], "its log is empty"),
    ],
)  # fmt: skip
def test_the_telling_line_of_a_dead_broker(lines: list[str], said: str) -> None:
    assert telling_line(lines) == said


def test_too_little_room_is_said_with_both_figures(tmp_path: Path) -> None:
    check_room(tmp_path, 64 << 20)
    with pytest.raises(StartError, match=r"no room under .*: 63 MB free, the broker needs 64 MB"):
        check_room(tmp_path, (64 << 20) - 1)


@pytest.mark.parametrize("torn", [b"", b'{"port":1909', b'{"port":"x","controller_port":2}', b"[]"])
def test_ports_that_a_power_cut_left_half_written_count_as_none(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "broker.json"
    assert read_ports(path) is None
    path.write_bytes(torn)
    assert read_ports(path) is None
    path.write_bytes(b'{"port":19092,"controller_port":19093}')
    assert read_ports(path) == Ports(19092, 19093)


async def process(*argv: str, ready: str = "up") -> asyncio.subprocess.Process:
    """Start a process and return it when it has said that it is up."""
    child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert child.stdout
    assert (await child.stdout.readline()).decode().strip() == ready
    return child


@pytest.mark.parametrize(
    ("code", "within", "signalled"),
    [
        ("import time; print('up', flush=True); time.sleep(60)", 10.0, signal.SIGTERM),
        (
            "from signal import *; signal(SIGTERM, SIG_IGN); print('up', flush=True); sigwait([SIGUSR1])",
            0.3,
            signal.SIGKILL,
        ),
    ],
    ids=["that obeys", "that does not"],
)
async def test_a_stale_broker_is_stopped(tmp_path: Path, code: str, within: float, signalled: int) -> None:
    child = await process(sys.executable, "-c", code, str(tmp_path / "broker.properties"))
    reaped = asyncio.create_task(
        child.wait()
    )  # a zombie has no command line, but a real stale broker has no parent either
    (tmp_path / "broker.pid").write_text(str(child.pid))
    assert await stop_stale(tmp_path, within)
    assert await reaped == -signalled


async def test_a_process_that_only_has_the_number_is_left_alone(tmp_path: Path) -> None:
    child = await process(sys.executable, "-c", "print('up', flush=True); input()", str(tmp_path / "other.properties"))
    try:
        (tmp_path / "broker.pid").write_text(str(child.pid))
        assert not await stop_stale(tmp_path, 0.3)
        assert child.returncode is None
    finally:
        child.kill()
        await child.communicate()


@pytest.mark.parametrize("text", [None, "", "not a number"])
async def test_without_a_readable_pid_nothing_is_stale(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "broker.pid").write_text(text)
    assert not await stop_stale(tmp_path)


async def test_a_process_that_dies_before_it_is_up_says_why(tmp_path: Path) -> None:
    jvm = await Jvm.spawn(["/bin/sh", "-c", "echo ERROR disk: No space left on device; exit 3"], tmp_path)
    with pytest.raises(StartError, match=r"died at start \(exit 3\): ERROR disk: No space left on device"):
        await jvm.ready(30)


async def test_a_process_that_never_comes_up_is_given_up_and_killed(tmp_path: Path) -> None:
    jvm = await Jvm.spawn(["/bin/sh", "-c", "trap '' TERM; echo starting; while :; do sleep 0.05; done"], tmp_path)
    with pytest.raises(StartError, match=r"did not serve within 0 s: (starting|its log is empty)"):
        await jvm.ready(0.3)
    async with asyncio.timeout(10):
        while not jvm.lines:  # noqa: ASYNC110 - it is a process that speaks; the trap is set before
            await asyncio.sleep(0.01)
    assert await jvm.stop(0.2) == -signal.SIGKILL
    assert not jvm.running


async def test_an_endless_line_is_dropped_and_the_next_is_read(tmp_path: Path) -> None:
    jvm = await Jvm.spawn(
        ["/bin/sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo; echo Kafka Server started"], tmp_path
    )
    await jvm.ready(30)
    assert await jvm.wait() == 0
    assert max(len(line) for line in jvm.lines) <= 65_536
