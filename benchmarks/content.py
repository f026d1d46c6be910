"""What rows hold, as a number: the same for the same rows in any order, batching or file format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Value = Any  # what `to_pylist` gives
KEY = "SOPInstanceUID"
DIGEST_BYTES = 16


def row_digests(content: object) -> dict[str, str]:
    """Digest of each row by its SOP Instance UID.

    Raises:
        ValueError: two rows have the same UID, so one would be lost.
    """
    digests: dict[str, str] = {}
    for row in _rows(content):
        key = str(row.get(KEY))
        if key in digests:
            message = f"{KEY} {key} is there twice"
            raise ValueError(message)
        digests[key] = row_digest(row)
    return digests


def row_digest(row: Mapping[str, Any]) -> str:
    """Digest of one row; NULL, an empty array and an absent column are the same."""
    text = json.dumps(prune(row), sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()


def combined(digests: Iterable[str]) -> str:
    """One digest of all rows, whatever their order."""
    return f"{sum(int(digest, 16) for digest in digests) % (1 << 8 * DIGEST_BYTES):0{2 * DIGEST_BYTES}x}"


def prune(value: Value) -> Value:
    """The value without what is not there. An empty item of an array keeps its place."""
    if isinstance(value, dict):
        pruned = {name: prune(inner) for name, inner in value.items()}
        return {name: inner for name, inner in pruned.items() if inner is not None and inner not in ([], {})}
    return [prune(inner) for inner in value] if isinstance(value, list) else value


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (date, time, Decimal)):
        return str(value)
    message = f"no rows hold a {type(value).__name__}"
    raise TypeError(message)


def _rows(content: object) -> Iterator[dict[str, Any]]:
    for batch in _batches(content):
        yield from batch.to_pylist()


def _batches(content: object) -> Iterable[pa.RecordBatch | pa.Table]:
    """Arrow from anything a contender may have made."""
    if not isinstance(content, Path):
        return content  # type: ignore[return-value]
    if content.suffix == ".duckdb":
        import duckdb

        with duckdb.connect(str(content), read_only=True) as connection:
            return [connection.sql("SELECT * FROM dicom").to_arrow_table()]
    import pyarrow.parquet as pq

    files = sorted(content.glob("*.parquet")) if content.is_dir() else [content]
    return [pq.read_table(file) for file in files]


def fingerprint(content: object) -> str:
    """A quick digest of what one program makes again and again; it may differ where `row_digests` do not."""
    made = hashlib.blake2b(digest_size=DIGEST_BYTES)
    if isinstance(content, Path):
        for file in sorted(content.glob("*")) if content.is_dir() else [content]:
            made.update(file.read_bytes())
    else:
        import pyarrow as pa

        for batch in _batches(content):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write(batch)
            made.update(sink.getvalue())
    return made.hexdigest()
