"""Apache Kafka for the tests: one node, broker and controller, from Maven coordinates and a JVM."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from stream.shell.broker import LOOPBACK, BrokerError, await_broker, free_port
from stream.shell.child import Child

POM: Final = Path(__file__).parent / "kafka" / "pom.xml"

RESOLVE_TIMEOUT_S: Final = 600.0
FORMAT_TIMEOUT_S: Final = 60.0
START_TIMEOUT_S: Final = 60.0
STOP_GRACE_S: Final = 20.0

_INDEX_BYTES: Final = 1024 * 1024
"""Each partition has two such files, and the kernel zeroes what it reads ahead of them: a fifth of a core,
with Kafka's own ten mebibytes and dozens of new partitions. One is enough for segments of half a gigabyte."""

_JVM: Final = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class ApacheKafka:
    """A Kafka whose data and addresses outlive a stop, a kill and another start."""

    name: Final = "kafka"
    transactions: Final = True

    def __init__(
        self,
        *,
        directory: Path,
        cache: Path,
        properties: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        advertised: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        """Keep data in *directory* and the resolved class path in *cache*.

        *properties* go into server.properties after ours and win. *listeners* are further ones for
        clients, by name, with their security protocol (`{"SECURE": "SASL_SSL"}`); `address(name)`
        says where they are. The plain listener stays beside them. *advertised* names, by listener, what
        clients are told to connect to instead (`host:port`): a proxy before the broker. *scram* gives
        users who log in by SCRAM, with their passwords.
        """
        self._directory = directory
        self._cache = cache
        self._properties = dict(properties or {})
        self._protocols = {"PLAINTEXT": "PLAINTEXT", **(listeners or {})}
        self._advertised = dict(advertised or {})
        self._scram = dict(scram or {})
        self._ports = {name: free_port() for name in (*self._protocols, "CONTROLLER")}
        # The first byte keeps a "-" from the front, where the command line would take it for an option.
        self._cluster_id = base64.urlsafe_b64encode(b"d" + os.urandom(15)).decode().rstrip("=")
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """Where clients connect without security, `host:port`; it never changes."""
        return self.address("PLAINTEXT")

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child is not None else None

    def address(self, listener: str) -> str:
        """Where the clients of *listener* connect, `host:port`."""
        return f"{LOOPBACK}:{self._ports[listener]}"

    def start(self) -> None:
        """Start Kafka and return when it serves clients. Raises BrokerError when it doesn't."""
        if self._child is not None:
            return
        java = _program("java", "a Java runtime, 17 or newer")
        class_path = resolve_class_path(self._cache)
        settings = self._directory / "server.properties"
        if not settings.exists():
            self._format(java, class_path, settings)
        child = Child([*self._jvm(java, class_path), "kafka.Kafka", str(settings)])
        try:
            await_broker(child, self._ports["PLAINTEXT"], self._cluster_id, START_TIMEOUT_S)
        except BaseException:
            child.kill()
            raise
        self._child = child

    def stop(self) -> None:
        """Shut Kafka down in good order; the data stays. Nothing happens when it does not run."""
        if self._child is not None:
            self._child.stop(STOP_GRACE_S)
            self._child = None

    def kill(self) -> None:
        """End Kafka as a crash would; the data stays as it is."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _jvm(self, java: str, class_path: str) -> list[str]:
        return [java, *_JVM, f"-Djava.io.tmpdir={self._directory}", "-cp", class_path]

    def _format(self, java: str, class_path: str, settings: Path) -> None:
        """Write the settings and make the data directory, which Kafka does not start without."""
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = settings.with_suffix(".draft")
        draft.write_text("".join(f"{name}={value}\n" for name, value in self._server_properties().items()))
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster_id}", f"--config={draft}"]
        for user, password in self._scram.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                tool += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        formatting = Child([*self._jvm(java, class_path), *tool])
        ended = formatting.ends_within(FORMAT_TIMEOUT_S)
        formatting.kill()
        if not ended or formatting.status != 0:
            raise BrokerError(
                f"Kafka's storage can't be formatted in {self._directory}: {formatting.output()}"
            )
        draft.rename(settings)

    def _server_properties(self) -> dict[str, str]:
        protocols = {**self._protocols, "CONTROLLER": "PLAINTEXT"}
        advertised = {name: self._advertised.get(name, self.address(name)) for name in self._protocols}
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{self.address('CONTROLLER')}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(f"{name}://{self.address(name)}" for name in protocols),
            "advertised.listeners": ",".join(f"{name}://{address}" for name, address in advertised.items()),
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in protocols.items()),
            "log.dirs": str(self._directory / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "log.index.size.max.bytes": str(_INDEX_BYTES),
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # After a kill the controller refuses the broker until its old session has run out.
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",
            **self._properties,
        }


def resolve_class_path(cache: Path) -> str:
    """Find the jars of pom.xml with Maven, once per pom and *cache*, whoever else asks at the same time.

    Raises BrokerError when Maven is missing or can't find them: whoever asked for Kafka gets Kafka or
    a failure, never a skipped test.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        return _resolve_class_path(cache)


def _resolve_class_path(cache: Path) -> str:
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    known = cache / f"class-path-{digest}.txt"
    if known.exists() and all(Path(jar).exists() for jar in known.read_text().split(os.pathsep)):
        return known.read_text()
    maven = _program("mvn", "Apache Maven")
    draft = cache / f"{known.name}.{os.getpid()}"
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:build-classpath", f"-Dmdep.outputFile={draft}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RESOLVE_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            f"Maven took more than {RESOLVE_TIMEOUT_S:g} s for {POM}; is the network there?"
        ) from error
    if done.returncode != 0:
        raise BrokerError(
            f"Maven can't resolve {POM}: {(done.stdout + done.stderr).strip()[-2000:]}\n"
            f"Check the network or the mirror in ~/.m2/settings.xml, then try: {' '.join(command)}"
        )
    draft.rename(known)
    return known.read_text()


def _program(name: str, what: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BrokerError(
            f"Apache Kafka needs {what}: there is no {name} on PATH; install it or use --broker=embedded"
        )
    return path
