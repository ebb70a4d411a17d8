"""A child process that ends with its parent, however the parent ends.

On Linux the kernel does it (``PR_SET_PDEATHSIG``), so `kill -9` of the parent is enough. This file is
also the launcher that asks for it: it runs as a script in the child, sets the signal on itself and
then becomes the program, so nothing of ours runs between fork and exec in a process with threads.
Elsewhere only a normal exit of the parent ends the child.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final, NoReturn

OUTPUT_MAX_BYTES: Final = 4096
"""How much of the end of a child's output is kept for people to read."""

KILL_TIMEOUT_S: Final = 10.0
"""How long the kernel may take to end a process after SIGKILL."""

_PR_SET_PDEATHSIG: Final = 1


class Child:
    """A running program with an empty environment; its output goes to a file without a name."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Start *arguments*; the first is the path of the program. Raises OSError when it can't."""
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed by _reaped
        try:
            self._process = _nursery(os.getpid()).submit(_spawn, arguments, self._output).result()
        except BaseException:
            self._output.close()
            raise
        self._said = ""
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """The process id of the program itself, also when a launcher started it."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        return self._process.poll()

    def ends_within(self, seconds: float) -> bool:
        """Wait at most *seconds* for the child to end; whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def output(self) -> str:
        """Return the end of what the child has written to standard output and standard error."""
        if self._output.closed:
            return self._said
        # pread, because the child shares the file's position: a seek would move where it writes.
        start = max(0, os.fstat(self._output.fileno()).st_size - OUTPUT_MAX_BYTES)
        return os.pread(self._output.fileno(), OUTPUT_MAX_BYTES, start).decode(errors="replace").strip()

    def stop(self, grace_s: float) -> None:
        """Ask the child to end, and make it after *grace_s*. Safe to call twice."""
        self._process.terminate()
        if self.ends_within(grace_s):
            self._reaped()
        else:
            self.kill()

    def kill(self) -> None:
        """End the child at once, as a crash would. Safe to call twice."""
        self._process.kill()
        self._process.wait(KILL_TIMEOUT_S)
        self._reaped()

    def _reaped(self) -> None:
        self._said = self.output()
        self._output.close()
        atexit.unregister(self.kill)


def _spawn(arguments: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    on_linux = sys.platform == "linux"
    # -I and -S: neither the environment nor site-packages have a say in the launcher.
    launcher = [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid())] if on_linux else []
    return subprocess.Popen(  # noqa: S603 the caller names the program by its path
        [*launcher, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if on_linux else {},
        start_new_session=True,  # Ctrl-C is for the parent, which then stops the child in its order
    )


@functools.cache
def _nursery(_pid: int) -> ThreadPoolExecutor:
    """Give the thread that starts the children of process *_pid*, and lives as long as it does.

    The kernel sends the signal when the thread that forked ends, not when the process does: a child
    started from a worker thread would die with that thread.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="children")


def _become(parent: int, arguments: list[str]) -> NoReturn:
    """Turn this process into *arguments*, to be killed by the kernel when *parent* ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent ended first")
    with contextlib.suppress(OSError):
        os.execve(arguments[0], arguments, {})  # noqa: S606 that is the point: no shell, same process
    sys.exit(f"{arguments[0]} can't be run on this machine")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
