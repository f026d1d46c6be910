"""Errors as codes of google.rpc (https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

from dicom_bq import errors
from dicom_bq.destinations.bigquery_google import UnavailableError
from dicom_bq.sources.members import ArchiveError

if TYPE_CHECKING:
    from dicom_bq.scan.outcome import Failure


class Code(IntEnum):
    """Canonical error codes."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


OF_ERRNO: Mapping[int, Code] = {
    errno.ENOENT: Code.NOT_FOUND,
    errno.ENOTDIR: Code.NOT_FOUND,
    errno.EACCES: Code.PERMISSION_DENIED,
    errno.EPERM: Code.PERMISSION_DENIED,
    errno.EROFS: Code.PERMISSION_DENIED,
    errno.EEXIST: Code.ALREADY_EXISTS,
    errno.ENOSPC: Code.RESOURCE_EXHAUSTED,
    errno.EDQUOT: Code.RESOURCE_EXHAUSTED,
    errno.EFBIG: Code.RESOURCE_EXHAUSTED,
    errno.EMFILE: Code.RESOURCE_EXHAUSTED,
    errno.ENFILE: Code.RESOURCE_EXHAUSTED,
    errno.ENOMEM: Code.RESOURCE_EXHAUSTED,
    errno.ENAMETOOLONG: Code.INVALID_ARGUMENT,
    errno.EIO: Code.DATA_LOSS,
    errno.ESTALE: Code.UNAVAILABLE,
    errno.EAGAIN: Code.UNAVAILABLE,
    errno.ETIMEDOUT: Code.UNAVAILABLE,
}
"""By the number of an operating system's error."""

OF_HTTP: Mapping[int, Code] = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ALREADY_EXISTS,
    412: Code.FAILED_PRECONDITION,
    429: Code.RESOURCE_EXHAUSTED,
}
"""By the status of Google's answer (google/rpc/code.proto has the same table)."""

OF_CLASS: Mapping[type[BaseException], Code] = {
    errors.CancelledError: Code.CANCELLED,
    errors.DestinationExistsError: Code.ALREADY_EXISTS,
    errors.DestinationConflictError: Code.FAILED_PRECONDITION,
    UnavailableError: Code.UNAVAILABLE,
    errors.DestinationError: Code.FAILED_PRECONDITION,
    errors.MissingDependencyError: Code.FAILED_PRECONDITION,
    errors.SchemaConflictError: Code.FAILED_PRECONDITION,
    errors.SchemaError: Code.INVALID_ARGUMENT,
    errors.UsageError: Code.INVALID_ARGUMENT,
    errors.HeaderTooLargeError: Code.RESOURCE_EXHAUSTED,
    errors.TruncatedError: Code.DATA_LOSS,
    errors.DamagedError: Code.DATA_LOSS,
    errors.ScanError: Code.INVALID_ARGUMENT,
    ArchiveError: Code.DATA_LOSS,
    errors.FatalFileError: Code.INTERNAL,
    errors.WorkerError: Code.RESOURCE_EXHAUSTED,
    errors.OutOfMemoryError: Code.RESOURCE_EXHAUSTED,
    MemoryError: Code.RESOURCE_EXHAUSTED,
    Exception: Code.INTERNAL,
    BaseException: Code.CANCELLED,  # KeyboardInterrupt and SystemExit: somebody wants the end
}
"""By class of exception; the first that fits."""

OF_FAILURE: Mapping[str, Code] = {
    "unreadable": Code.FAILED_PRECONDITION,
    "malformed": Code.INVALID_ARGUMENT,
    "internal": Code.INTERNAL,
}
"""By the code of a file's failure, unless its reason says more."""

OF_REASON: Mapping[str, Code] = {
    "file ends inside": Code.DATA_LOSS,
    "header is larger than": Code.RESOURCE_EXHAUSTED,
    "link to nothing": Code.NOT_FOUND,
    "no such member": Code.NOT_FOUND,
    "no file matches": Code.NOT_FOUND,
    "damaged": Code.DATA_LOSS,
    "cut off": Code.DATA_LOSS,
    "ends early": Code.DATA_LOSS,
    "more than": Code.RESOURCE_EXHAUSTED,
    "that the members of an archive may have": Code.RESOURCE_EXHAUSTED,
    "not supported": Code.UNIMPLEMENTED,
    **{os.strerror(number): code for number, code in OF_ERRNO.items()},
}
"""By words in the reason of a file's failure: those of errors.py and of the operating system."""


def code_of_error(error: BaseException) -> Code:
    """The code of what ended a job."""
    if type(error) is errors.DestinationError:  # it may have been made of an error that says more
        return _code_of_cause(error.__cause__) or Code.FAILED_PRECONDITION
    if isinstance(error, OSError):
        return _code_of_cause(error) or Code.INTERNAL
    return next(code for kind, code in OF_CLASS.items() if isinstance(error, kind))


def _code_of_cause(cause: BaseException | None) -> Code | None:
    if isinstance(cause, OSError):
        return OF_ERRNO.get(cause.errno or 0)
    return OF_HTTP.get(getattr(cause, "code", None) or 0)


def code_of_failure(failure: Failure) -> Code:
    """The code of a file that failed."""
    default = OF_FAILURE.get(failure.code, Code.UNKNOWN)
    if default is Code.INTERNAL:
        return default
    return next((code for words, code in OF_REASON.items() if words in failure.reason), default)
