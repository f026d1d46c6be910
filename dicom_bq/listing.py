"""A listing that runs ahead of the reading, so that it is known early how many files there are.

It has a thread of its own, and waits on disk: no more of it is in memory than one part. The file has no name, so
nothing is left behind however the process ends. Once archives have to be inflated to be listed it goes step by step
with the reading, since what they inflate to is there until it has been read.
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import IO, TYPE_CHECKING

from dicom_bq.errors import UsageError, kept_in
from dicom_bq.parts import Part
from dicom_bq.stats import digest_of

if TYPE_CHECKING:
    from dicom_bq.sources.spool import Spool
    from dicom_bq.sources.walk import Found


LONGEST_WAIT = 0.5
"""Seconds that the thread has to see that it is not wanted any more."""


class Listing:
    """Parts of the files to read, listed ahead.

    Attributes:
        listed: Files in the parts so far.
        done: Whether that is all of them.

    Args:
        parts: Are taken in another thread.
        spool: What the listing inflates.
        directory: For the file; None for the system's temporary directory.
    """

    def __init__(self, parts: Generator[Part], spool: Spool, directory: str | None = None) -> None:
        self.listed, self.done = 0, False
        self._parts, self._spool, self._directory = parts, spool, directory
        self._changed = threading.Condition()
        self._ready = self._wanted = 0  # parts in the file that nobody has taken; parts that somebody has asked for
        self._stopped = False
        self._error: BaseException | None = None

    def run(self) -> Generator[Part]:
        """The parts, in their order; raises at the end what listing them raises.

        Raises:
            UsageError: As soon as it is known, and not hours later: no part can be of use then.
        """
        try:
            file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 (closed under the lock)
        except OSError:  # then it is not known early
            yield from self._counted()
            return
        thread = threading.Thread(target=self._run_ahead, args=(file,), name="dicom-bq listing", daemon=True)
        thread.start()
        try:
            yield from self._read(file)
        finally:
            self._spool.stop()
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            thread.join(LONGEST_WAIT)  # a directory that hangs may hold it for ever
            with self._changed, contextlib.suppress(OSError):  # of a full disk; nobody needs what is there
                file.close()
        if self._error:
            raise self._error

    def _counted(self) -> Iterator[Part]:
        for part in self._parts:
            self.listed += len(part.uris) + len(part.unreadable)
            yield part
        self.done = True

    def _run_ahead(self, file: IO[bytes]) -> None:
        end = given = 0
        try:
            with contextlib.closing(self._parts):
                for part in self._counted():
                    data = pickle.dumps(part)
                    with self._changed:
                        if self._stopped:
                            return
                        with self._refusals():
                            file.seek(end)
                            file.write(data)
                            end = file.tell()
                        self._ready += 1
                        self._changed.notify_all()
                        given += 1
                        while self._spool.directory and given >= self._wanted and not self._stopped:
                            self._changed.wait()
        except BaseException as error:  # told in the thread that waits for it
            self._error = error
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def _read(self, file: IO[bytes]) -> Iterator[Part]:
        offset = 0
        while True:
            with self._changed:
                self._wanted += 1
                self._changed.notify_all()
                while not self._ready and not self.done:
                    self._changed.wait()
                if not self._ready or isinstance(self._error, UsageError):
                    return
                with self._refusals():
                    file.seek(offset)
                    part: Part = pickle.load(file)  # noqa: S301 (written above)
                    offset, self._ready = file.tell(), self._ready - 1
            yield part

    def _refusals(self) -> contextlib.AbstractContextManager[None]:
        return kept_in(self._directory or tempfile.gettempdir())


def make_parts(
    files: Iterator[Found],
    unreadable: list[tuple[str, str]],
    spool: Spool,
    most: int,
    done: Mapping[str, int],
) -> Generator[Part]:
    """Parts of a listing, each with what its listing has put into ``unreadable`` and is done with in the spool.

    Args:
        files: The listing.
        unreadable: Is filled by it.
        spool: Is filled by it.
        most: Files of a part.
        done: Sizes of the parts that an earlier run has finished, by the digest of their first URI. They are made
            again, whatever has come or gone before them.
    """
    batch: list[Found] = []
    size = most
    for found in files:
        known = done.get(digest_of([found[0]])) if done else None
        if batch and (known or len(batch) == size):
            yield _part(batch, unreadable, spool)
            batch, size = [], most
        batch.append(found)
        size = known or size
    yield _part(batch, unreadable, spool)


def _part(batch: list[Found], unreadable: list[tuple[str, str]], spool: Spool) -> Part:
    members = {uri: member for uri, member in batch if member}
    part = Part([uri for uri, _ in batch], unreadable.copy(), members=members, finished=spool.finished.copy())
    unreadable.clear()
    spool.finished.clear()
    return part
