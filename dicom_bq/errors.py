"""Everything that dicom-bq raises on purpose.

One tree, built from facts that stay readable as attributes; each class writes its own sentence: what
happened, where (URI, tag path), and what to do next. No message holds a value of a data element: values are
patients'.

    DicomBqError
    ├── ScanError            a file's bytes are not a readable DICOM data set
    ├── SchemaError          a schema cannot be made, read, merged or loaded
    │   ├── SchemaConflictError   one column, two types or modes
    │   └── SchemaLimitError      more than the destination can hold
    ├── UsageError           the caller asked for something that does not exist or contradicts itself
    ├── DestinationError     the destination refuses, or cannot be reached
    │   ├── DestinationExistsError   there is already a table with rows
    │   └── DestinationConflictError   its table has a column of another type; a SchemaConflictError too
    ├── WorkerError          processes that read files end
    ├── CancelledError       somebody has asked the job to stop
    ├── OutOfMemoryError     the system has no more memory for this process
    ├── InternalError        a bug in this package
    └── MissingDependencyError   an extra is not installed
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any


class DicomBqError(Exception):
    """Root of the tree.

    Keyword arguments given to a subclass are its facts: they become attributes, fill the class's
    ``template``, and survive pickling.

    Attributes:
        facts: The keyword arguments, by name.
    """

    template = "{reason}"

    def __init__(self, **facts: Any) -> None:  # noqa: ANN401 (facts are of any type)
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)
        super().__init__(self.template.format(**facts))

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the facts: the default would pass the finished sentence to ``__init__``."""
        return (_rebuild, (type(self), self.facts))


def _rebuild(kind: type[DicomBqError], facts: dict[str, Any]) -> DicomBqError:
    error = kind.__new__(kind)  # whose own __init__ may take fewer facts than it sets
    DicomBqError.__init__(error, **facts)
    return error


class ScanError(DicomBqError):
    """A file's bytes are not a readable DICOM data set. Facts: ``reason``, ``offset`` (from file start)."""

    template = "{reason} at byte {offset}"
    readable_otherwise = True
    """Another reader may make sense of the file."""


class DamagedError(ScanError):
    """Bytes that no reader should be tried on. Facts: ``reason``, ``offset``."""

    readable_otherwise = False


class TruncatedError(ScanError):
    """The file ends before an element does: what is missing cannot be read by anyone. Facts: ``offset``."""

    template = "file ends inside the element at byte {offset}"
    readable_otherwise = False

    def __init__(self, *, offset: int, reason: str = "file ends inside an element") -> None:
        super().__init__(offset=offset, reason=reason)


class HeaderTooLargeError(ScanError):
    """A header is larger than the caller allows. Facts: ``limit`` (bytes), ``offset``."""

    template = "header is larger than {limit} bytes, seen at byte {offset}; raise --max-header-bytes to read it"
    readable_otherwise = False

    def __init__(self, *, limit: int, offset: int) -> None:
        super().__init__(limit=limit, offset=offset, reason=f"header is larger than {limit} bytes")


class NotDicomError(ScanError):
    """The bytes are not DICOM at all. Facts: ``reason``, ``offset``."""

    template = "not DICOM: {reason}"


class SchemaError(DicomBqError):
    """A schema cannot be made, read, merged or loaded. Facts: ``reason``."""


class SchemaConflictError(SchemaError):
    """One column has two types or modes. Facts: ``path`` ("A.B"), ``first``, ``second``, ``advice``."""

    template = "column {path} is {first} in one schema and {second} in the other. {advice}"

    def __init__(
        self,
        *,
        path: str,
        first: str,
        second: str,
        advice: str = "Types and modes must agree: correct one of them, or use another table",
    ) -> None:
        super().__init__(path=path, first=first, second=second, advice=advice)


class SchemaLimitError(SchemaError):
    """A schema is past a limit. Facts: ``limit`` (its name), ``path`` ("A.B"), ``found``, ``allowed``."""

    template = "{limit} at {path}: {found}, the limit is {allowed}. Leave columns out by giving a schema"


class UsageError(DicomBqError):
    """The caller asked for something that does not exist or contradicts itself. Facts: ``reason``."""


class DestinationError(DicomBqError):
    """The destination refuses, or cannot be reached. Facts: ``destination``, ``reason``, ``advice``."""

    template = "{destination}: {reason}. {advice}"


class DestinationExistsError(DestinationError):
    """There is a table with rows, and the disposition is write-empty. Facts: ``destination``, ``rows``."""

    template = (
        "{destination}: the table has {rows} rows already. "
        "Add to it with write disposition write-append, replace it with write-truncate, or choose another"
    )


class DestinationConflictError(DestinationError, SchemaConflictError):
    """A table that exists has columns of another type or mode.

    Facts: those of both its bases about the first of them; ``others``, text about the others, "" when there is one.
    """

    template = "{destination}: column {path} is {first} in the table and {second} in the export{others}. {advice}"

    def __init__(
        self,
        *,
        destination: str,
        path: str,
        first: str,
        second: str,
        advice: str = "Use another table, or replace this one with write disposition write-truncate",
        others: str = "",
    ) -> None:
        facts = {"destination": destination, "path": path, "first": first, "second": second, "advice": advice}
        DicomBqError.__init__(self, **facts, others=others)


class WorkerError(DicomBqError):
    """Processes that read files end before their time. Facts: ``how`` ("signal 9 (Killed)"), ``ended`` (how many)."""

    template = (
        "{ended} worker processes ended and nothing was read in between, the last with {how}. "
        "Is there memory enough? Use fewer, or none but this one (--workers 1)"
    )


class FatalFileError(WorkerError):
    """Reading one file ends the process that does. Facts: ``how``, ``ended``."""

    template = "reading it ends the process, with {how}"


class CancelledError(DicomBqError):
    """Somebody has asked the job to stop, by ``dicom-bq operations cancel``. Facts: ``operation`` (its ID)."""

    template = "operation {operation} was cancelled; nothing is half written. Run the same command to begin again"


class OperationWarning(UserWarning):
    """What ``dicom-bq operations`` should show of an export cannot be kept; the export goes on."""


class OutOfMemoryError(DicomBqError):
    """The system has no more memory for this process."""

    template = (
        "there is not enough memory. Give this process more (ulimit -v, the container's limit), or use fewer processes "
        "(--workers 1), and run the same command again"
    )


_SHORTAGES = (os.strerror(errno.ENOMEM), "failed to map segment", "can't start new thread", "not enough memory")
"""In what the system, glibc's dynamic linker (wrapped in an ImportError), Python and Zstandard say for want of it."""


def is_shortage(error: BaseException) -> bool:
    """Whether an exception comes from too little memory."""
    if isinstance(error, MemoryError):
        return True
    is_system = isinstance(error, ImportError | OSError | RuntimeError)
    return is_system and any(shortage in str(error) for shortage in _SHORTAGES)


class InternalError(DicomBqError):
    """A bug. Facts: ``kind`` (class of the exception), ``where`` (file and line of ours or of a package).

    The exception's own text may quote what it was working on, so it is neither told nor kept.
    """

    template = "a bug in dicom-bq: {kind} at {where}"


class MissingDependencyError(DicomBqError):
    """An extra is not installed. Facts: ``package``, ``extra``."""

    template = "{package} is not installed; run: pip install 'dicom-bq[{extra}]'"

    @classmethod
    def of(cls, error: ImportError, package: str, extra: str) -> DicomBqError:
        """What an import that failed comes from."""
        return OutOfMemoryError() if is_shortage(error) else cls(package=package, extra=extra)


@contextlib.contextmanager
def shortages() -> Iterator[None]:
    """Tell too little memory from a disk or a file that fails, since an OSError may be either."""
    try:
        yield
    except OSError as error:
        if is_shortage(error):
            raise OutOfMemoryError from error
        raise


@contextlib.contextmanager
def kept_in(place: str, refused: str = "rows cannot be kept") -> Iterator[None]:
    """Turn an operating system's error about what waits on disk for a while into a DestinationError."""
    try:
        with shortages():
            yield
    except OSError as error:
        raise DestinationError(
            destination=place,
            reason=f"{refused} here for the time being: {error.strerror}",
            advice="Make room, or set TMPDIR or the output to where there is",
        ) from error
