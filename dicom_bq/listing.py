"""A listing that runs ahead of the reading, so that it is known early how many files there are.

It has a thread of its own, and waits on disk: no more of it is in memory than one part. The file has no name, so
nothing is left behind however the process ends.
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import threading
from collections.abc import Generator, Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from dicom_bq.parts import Part


class Listing:
    """Parts of the files to read, listed ahead.

    Attributes:
        listed: Files in the parts so far.
        done: Whether that is all of them.

    Args:
        parts: Are taken in another thread.
        directory: For the file; None for the system's temporary directory.
    """

    def __init__(self, parts: Generator[Part], directory: str | None = None) -> None:
        self.listed, self.done = 0, False
        self._parts, self._directory = parts, directory
        self._changed = threading.Condition()
        self._ready = 0  # parts in the file that nobody has taken
        self._stopped = False
        self._error: BaseException | None = None

    def run(self) -> Generator[Part]:
        """The parts, in their order; raises at the end what listing them raises."""
        try:
            file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 (closed under the lock)
        except OSError:  # then it is not known early
            yield from self._counted()
            return
        threading.Thread(target=self._run_ahead, args=(file,), name="dicom-bq listing", daemon=True).start()
        try:
            yield from self._read(file)
        finally:
            with self._changed:  # the thread is not waited for: a directory that hangs may hold it
                self._stopped = True
                self._changed.notify_all()
                file.close()
        if self._error:
            raise self._error

    def _counted(self) -> Iterator[Part]:
        for part in self._parts:
            self.listed += len(part.uris) + len(part.unreadable)
            yield part
        self.done = True

    def _run_ahead(self, file: IO[bytes]) -> None:
        end = 0
        try:
            with contextlib.closing(self._parts):
                for part in self._counted():
                    data = pickle.dumps(part)
                    with self._changed:
                        if self._stopped:
                            return
                        file.seek(end)
                        file.write(data)
                        end = file.tell()
                        self._ready += 1
                        self._changed.notify_all()
                        while self._waits_for(part) and not self._stopped:
                            self._changed.wait()
        except BaseException as error:  # told in the thread that waits for it
            self._error = error
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def _waits_for(self, part: Part) -> bool:
        """Whether listing more has to wait until this part is taken: archives are inflated as they are listed."""
        return bool(getattr(part, "members", None)) and self._ready > 0

    def _read(self, file: IO[bytes]) -> Iterator[Part]:
        offset = 0
        while True:
            with self._changed:
                while not self._ready:
                    if self.done:
                        return
                    self._changed.wait()
                file.seek(offset)
                part: Part = pickle.load(file)  # noqa: S301 (written above)
                offset, self._ready = file.tell(), self._ready - 1
                self._changed.notify_all()
            yield part
