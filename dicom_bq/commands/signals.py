"""How the program ends when somebody wants it to: cleanly, and within two seconds whatever it is at.

A signal raises an exception wherever the program is, so that everything half-written is taken away. That has to wait
while one call of another package takes long, and a file system that hangs may hold it for ever. So a thread
watches too; after two seconds it ends the process, which is then as if killed: what it leaves is hidden, and taken
away by the next run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any, Self

from dicom_bq.commands.talk import Talk

WORDS: Mapping[int, str] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hung up",
}
"""What a signal does to a command."""
LONGEST = 1.6
"""Seconds from a signal to the end."""


class Signals:
    """Ends a command on a signal, from ``with`` to the end of the block.

    Args:
        talk: Says that the process did not end by itself.

    Attributes:
        stopped: Number of the signal that came first; 0 before any.
    """

    def __init__(self, talk: Talk) -> None:
        self.stopped = 0
        self._talk = talk
        self._ended = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in WORDS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                self._before[number] = signal.signal(number, self._stop)
        reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._woken_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reading,), name="dicom-bq signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        signal.set_wakeup_fd(self._woken_before)
        os.close(self._writing)
        for number, before in self._before.items():
            signal.signal(number, before)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Raise, once, while there is a command: what takes half-written things away is not to be interrupted."""
        if self.stopped or self._ended.is_set():
            return
        self.stopped = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    def _watch(self, reading: int) -> None:
        """See signals when they come, which is before Python handles them."""
        with open(reading, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] in self._before and not self._ended.wait(LONGEST):
                    self._end(number[0])

    def _end(self, number: int) -> None:
        message = (
            f"{WORDS[number]}, and ended by force after two seconds. The table is as it was, or complete; what was "
            "being written besides is hidden, and taken away by the next run. Run the same command again"
        )
        with contextlib.suppress(OSError):  # nobody hears it
            os.write(2, (self._talk.complaint(message, severity="NOTICE") + "\n").encode())
        os._exit(128 + number)
