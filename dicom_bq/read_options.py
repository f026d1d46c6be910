"""What a caller may choose of how instances become rows, and whether it can be so."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, TypedDict

from dicom_bq.errors import UsageError
from dicom_bq.processors import MOST_WORKERS

if TYPE_CHECKING:
    from typing import Literal


class ReadOptions(TypedDict, total=False):
    """Keyword arguments of every function that reads instances.

    Attributes:
        numeric_strings: "text" (default) keeps DS and IS as they are written; "typed" makes DS a FLOAT and IS
            an INTEGER column.
        include_source_store: Add the column SourceDicomStore, the URI of each instance. Default: False.
        max_sequence_bytes: Sequences larger than this many bytes are listed in DroppedTags; the limit of the
            Healthcare API is about 1048576. Default: no limit.
        max_header_bytes: A file whose header, or inflated data set, is larger fails. Default: 256 MiB.
        schema_type: "flattened" (default) makes a column of each element; "json" one of all, as the DICOM JSON
            Model of PS3.18 Annex F, with the other columns of the Healthcare API's SchemaJSON.
        workers: Processes that read files, this one among them. Default: the processors that there are for this one.
            Rows and their order do not depend on it.
    """

    numeric_strings: Literal["text", "typed"]
    include_source_store: bool
    max_sequence_bytes: int | None
    max_header_bytes: int
    schema_type: Literal["flattened", "json"]
    workers: int | None


DEFAULTS: ReadOptions = {
    "numeric_strings": "text",
    "include_source_store": False,
    "max_sequence_bytes": None,
    "max_header_bytes": 256 << 20,
    "schema_type": "flattened",
}
"""Of the options that rows depend on."""
_CHOICES = {"numeric_strings": ("text", "typed"), "schema_type": ("flattened", "json")}
"""Options with few values; the first is the default."""
_SIZES = ("max_sequence_bytes", "max_header_bytes")


def check_options(options: ReadOptions) -> None:
    """Refuse options that there are not, or not with such a value.

    Raises:
        TypeError: There is no option of a name.
        UsageError: An option cannot have the value that is given.
    """
    unknown = sorted(options.keys() - ReadOptions.__annotations__.keys())
    if unknown:
        message = f"no option {', '.join(unknown)}; there are {', '.join(ReadOptions.__annotations__)}"
        raise TypeError(message)
    for name, choices in _CHOICES.items():
        if options.get(name, choices[0]) not in choices:
            raise UsageError(reason=f"{name} is one of {', '.join(choices)}")
    for name in _SIZES:
        if not _is_count(options.get(name)):
            raise UsageError(reason=f"{name} is a whole number of bytes, at least 1, or None")
    workers = options.get("workers")
    if not _is_count(workers) or (workers or 1) > MOST_WORKERS:
        raise UsageError(reason=f"the number of workers is 1 to {MOST_WORKERS}")


def _is_count(value: object) -> bool:
    return value is None or (hasattr(value, "__index__") and not isinstance(value, bool) and operator.index(value) >= 1)
