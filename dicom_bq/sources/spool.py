"""Archives that cannot be read from any position: each is inflated once, to a temporary file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from dicom_bq.errors import DamagedError, kept_in
from dicom_bq.scan.bytesource import GZIP, FileSource, InflatedSource, Inflation
from dicom_bq.sources.members import ArchiveError, ArchiveLimits

STEP = 1 << 20


class Spool:
    """A directory for what archives inflate to, made when it is first needed.

    Args:
        directory: Use this one, in which a file that was inflated before is found again, and leave it there. None
            makes one, which only this user can read and which is gone when the object is.
        parent: Where to make it; None for the system's temporary directory (TMPDIR).

    Attributes:
        directory: Path without links, "" as long as there is none.
        finished: Files that the listing is done with; who reads them removes them when they have been read.
    """

    def __init__(self, directory: str | None = None, parent: str | None = None) -> None:
        self.directory = os.path.realpath(directory) if directory else ""
        self.finished: list[str] = []
        self._parent = parent
        self._uses: Counter[str] = Counter()
        self._wanted = True
        self._close: weakref.finalize[[str, bool], Spool] | None = None

    def inflate(self, source: FileSource, limits: ArchiveLimits) -> tuple[str, str]:
        """Inflate a gzip file.

        Returns:
            Path of what it inflates to, whose time is that of the file; and why that is not all of it, "" if it is.

        Raises:
            ArchiveError: Nobody wants it any more.
            DestinationError: The directory cannot be written, or is full, which is no fault of the archive.
        """
        status = os.fstat(source.descriptor)
        name = hashlib.sha256(f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}".encode())
        with self.refusals():
            path, reason = Path(self._made(), name.hexdigest()[:32]), ""
            if not path.exists():
                part = path.with_suffix(".part")
                inflated = InflatedSource(source, 0, gzip_inflation("archive", limits))
                reason = _copy(inflated, part, self._check_wanted)
                os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
                path = path.with_suffix(".damaged") if reason else path  # not to be taken for the whole later
                part.rename(path)
        self._uses[str(path)] += 1
        return str(path), reason

    def refusals(self) -> AbstractContextManager[None]:
        """Turn an operating system's error into a DestinationError that says how to go on."""
        place = self.directory or self._parent or tempfile.tempdir or "the temporary directory"
        return kept_in(place, "archives cannot be inflated")

    def remove(self, path: str) -> None:
        """Give the space of a file back, if nobody else uses it."""
        self._uses[path] -= 1
        if self._uses[path] <= 0:
            del self._uses[path]
            Path(path).unlink(missing_ok=True)

    def stop(self) -> None:
        """Inflate no more, in whatever thread that is done."""
        self._wanted = False

    def close(self) -> None:
        """Remove what was made."""
        if self._close:
            self._close()
            self._close, self.directory = None, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_wanted(self) -> None:
        if not self._wanted:
            raise ArchiveError(reason="nobody wants to read it any more")

    def _made(self) -> str:
        self._check_wanted()
        if not self.directory:
            self.directory = os.path.realpath(tempfile.mkdtemp(prefix=".dicom-bq-", dir=self._parent))
            self._close = weakref.finalize(self, shutil.rmtree, self.directory, True)
        Path(self.directory).mkdir(parents=True, exist_ok=True)
        return self.directory


def gzip_inflation(what: str, limits: ArchiveLimits) -> Inflation:
    """How a gzip file is inflated."""
    return Inflation(what, GZIP, limit=limits.inflated_bytes, ratio=limits.ratio, ratio_from=limits.ratio_from)


def _copy(source: InflatedSource, path: Path, check: Callable[[], None]) -> str:
    """Write all of a source to a file; why it is not all, "" if it is. A file that cannot be written is removed."""
    position, reason = 0, ""
    try:
        with path.open("wb") as file:
            while not reason:
                check()
                try:
                    data = source.read(position, STEP)
                except DamagedError as error:
                    data, reason = source.held(position), str(error)
                except OSError as error:
                    data, reason = source.held(position), f"cannot be read: {error.strerror}"
                file.write(data)
                position += len(data)
                if not data:
                    break
    except (OSError, ArchiveError):
        path.unlink(missing_ok=True)
        raise
    return reason
