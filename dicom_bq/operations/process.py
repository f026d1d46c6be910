"""Which process an operation runs in, so that it is not taken for a later one of the same number."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from every other.

    Attributes:
        host: Name of the machine.
        pid: Its number there.
        started: When it began, in whatever form the machine says that.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Process:
        """This one."""
        return cls(platform.node(), os.getpid(), _started(os.getpid()))

    @property
    def has_ended(self) -> bool:
        """Whether it has certainly ended; what runs on another machine cannot be seen from here."""
        return self.host == platform.node() and _started(self.pid) != self.started

    def terminate(self) -> bool:
        """Send it SIGTERM; False when it is not there, on this machine, any more."""
        if self.host != platform.node():
            return False
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not on Linux, or no such process
            return self._terminate_by_number()
        try:
            if self.has_ended:  # asked with the descriptor in hand, so that it cannot become another one
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _terminate_by_number(self) -> bool:
        if self.has_ended:
            return False
        try:
            os.kill(self.pid, signal.SIGTERM)
        except OSError:
            return False
        return True


def _started(pid: int) -> str:
    """When a process began; "" when there is none, or only what is left of one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # proc_pid_stat(5): the command, in parentheses, may hold anything; state is field 3, starttime field 22.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    except OSError:
        return ""
    return "" if fields[0] in b"ZX" else f"{boot}/{fields[19].decode()}"


def _started_by_ps(pid: int) -> str:
    done = subprocess.run(  # noqa: S603 (a number)
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
