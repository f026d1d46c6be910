"""Parts of a job that are finished, in its journal: an interrupted job that is taken up reads none of them again.

A part is known by its files: their URIs, and their sizes and times from before they were read. What it holds does not
depend on other parts, with one exception: which of its instances repeat one of an earlier part. Where there are any,
the entry says after which parts it holds.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dicom_bq.parts import Part, Summary
from dicom_bq.report_record import problems_from_json, problems_to_json
from dicom_bq.rowsfile import Extent, SpillFile, StoredFile
from dicom_bq.sources.files import printable
from dicom_bq.stats import Stat, digest_of, stats_of
from dicom_bq.tally import Tally

if TYPE_CHECKING:
    from dicom_bq.journal import Journal, Place
    from dicom_bq.read_options import ReadOptions
    from dicom_bq.schema import TableSchema

MOST_NAMED = 3
"""Changed files that are named."""


class Kept(NamedTuple):
    """The last entry of a part.

    Attributes:
        place: Where it is in the journal.
        after: Digest of all parts before it if it depends on them, else "".
        files: How many it is of.
        file: Name of the file that has its rows; "" if there are none.
    """

    place: Place
    after: str
    files: int
    file: str


@dataclass(slots=True)
class Chunks:
    """The finished parts of one job.

    Attributes:
        journal: Has an entry for each.
        directory: Has the files of their rows.
        schema: Columns of all rows; None when each part has its own.
        options: That the rows were made with.
        index: The entries, by the digest of a part's URIs.
        chunks: Parts taken from the journal.
        files: Files in them.
        changed: Files that are not what they were when they were read.
        named: The first of them.
        damaged: Files whose rows are not what they were when they were written.
        starts: How many files a finished part of an earlier process has, by the digest of the first of them.
    """

    journal: Journal
    directory: Path
    schema: TableSchema | None
    options: ReadOptions
    index: dict[str, Kept] = field(default_factory=dict)
    chunks: int = 0
    files: int = 0
    changed: int = 0
    named: list[str] = field(default_factory=list)
    damaged: int = 0
    starts: dict[str, int] = field(default_factory=dict)
    _passed: str = ""
    _unmet: dict[str, int] = field(default_factory=dict)
    """Files in each part of the earlier run that has not been listed again."""
    _firsts: dict[str, str] = field(default_factory=dict)
    """Those parts, by the digest of the first of their files."""

    @property
    def finished(self) -> int:
        """Files in all finished parts."""
        return sum(kept.files for kept in self.index.values())

    @property
    def rows(self) -> set[str]:
        """Names of the files that rows of those parts are in."""
        return {kept.file for kept in self.index.values()}

    def places(self) -> list[Place]:
        """Where those entries are in the journal, in the order that they were made in."""
        return sorted(kept.place for kept in self.index.values())

    def learn(self, place: Place, entry: dict[str, Any]) -> None:
        """Take note of an entry that an earlier process has made."""
        if not entry["file"] or (self.directory / entry["file"]).exists():
            self._index(place, entry)
            self._unmet[entry["part"]] = entry["files"]
            self.starts[entry["first"]] = entry["files"]
            self._firsts[entry["first"]] = entry["part"]

    def take(self, parts: Iterable[Part]) -> Generator[Part]:
        """The same parts, each with what the journal has of it."""
        after: str | None = ""
        for part in parts:
            if part.uris:
                summary = self._take(part, after)
                after = None if after is None or summary is None else _after(after, part.uris, summary.stats)
            yield part
        for gone in self._unmet:
            self.index.pop(gone, None)

    def note(self, part: Part, summary: Summary, *, alone: bool = True) -> None:
        """Enter a finished part, whose rows are on disk.

        Args:
            part: Which.
            summary: What is in it.
            alone: What it holds does not depend on the parts before it.

        Raises:
            OSError: The disk is full, or fails.
        """
        entry = {
            "part": digest_of(part.uris),
            "after": "" if alone else self._passed,
            "first": digest_of(part.uris[:1]),
            "files": len(part.uris),
            "file": part.file.name if isinstance(part.file, SpillFile) and summary.batches else "",
            "extents": [list(extent) for _, extent in summary.batches],
            "found": _packed(_found(part.uris, summary, self.schema)),
        }
        self._index(self.journal.append(entry), entry)

    def passed(self, part: Part) -> None:
        """A part has been counted, after all that are listed before it."""
        if part.uris and part.summary:
            self._passed = _after(self._passed, part.uris, part.summary.stats)

    def _take(self, part: Part, after: str | None) -> Summary | None:
        key = digest_of(part.uris)
        self._unmet.pop(key, None)
        kept = self.index.get(key)
        if kept is None:
            self._compare(part)
        if kept is None or kept.after not in {"", after}:
            return None
        with contextlib.suppress(OSError):  # then it is read again
            return self._restore(part, self.journal.read(kept.place))
        return None

    def _compare(self, part: Part) -> None:
        """Name the changed files of a part that begins as one did that has been read, and has lost or gained files."""
        kept = self.index.get(self._firsts.get(digest_of(part.uris[:1]), ""))
        if kept is None:
            return
        with contextlib.suppress(OSError):  # it cannot be known
            found = _unpacked(self.journal.read(kept.place)["found"])
            then = dict(zip(found["names"], found["stats"], strict=True))
            stats = stats_of(part.uris, part.members)
            self._name(
                [uri for uri, now in zip(part.uris, stats, strict=True) if then.get(_mark(uri), list(now)) != list(now)]
            )

    def _name(self, changed: list[str]) -> None:
        self.changed += len(changed)
        self.named += changed[: MOST_NAMED - len(self.named)]

    def _index(self, place: Place, entry: dict[str, Any]) -> None:
        self.index[entry["part"]] = Kept(place, entry["after"], entry["files"], entry["file"])

    def _restore(self, part: Part, entry: dict[str, Any]) -> Summary | None:
        found = _unpacked(entry["found"])
        stats = stats_of(part.uris, part.members)
        changed = [uri for uri, now, then in zip(part.uris, stats, found["stats"], strict=True) if list(now) != then]
        self._name(changed)
        if changed or any(code == "unreadable" for _, code, _ in found["failures"]):  # which may be readable by now
            return None
        extents, file = [Extent(*extent) for extent in entry["extents"]], StoredFile(self.directory / entry["file"])
        if not file.holds(extents):
            self.damaged += len(part.uris)
            return None
        part.summary = _summary(found, extents, stats, self.schema, self.options)
        part.file, part.done = file, True
        self.chunks += 1
        self.files += len(part.uris)
        return part.summary

    def lines(self) -> Iterator[str]:
        """What people should know of the parts that were taken."""
        if self.chunks:
            yield f"{self.files:,} files in {self.chunks:,} finished chunks are taken from the interrupted run"
        if self.changed:
            names = ", ".join(map(printable, self.named))
            more = f" and {self.changed - len(self.named):,} more" if self.changed > len(self.named) else ""
            yield f"changed since they were read, and read again with their chunks: {names}{more}"
        if self.damaged:
            yield f"rows of {self.damaged:,} files were damaged and are read again"
        if gone := sum(self._unmet.values()):
            yield f"chunks of {gone:,} files are not what they were: files have come or gone, so they are read again"


def _after(before: str, uris: list[str], stats: list[Stat]) -> str:
    """What stands for the parts up to one of these files."""
    text = f"{before} {digest_of(uris)} {stats}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _mark(uri: str) -> int:
    """What tells files of one part apart, mostly; to name them is all that depends on it."""
    return zlib.crc32(os.fsencode(uri)) & 0xFFFF


def _found(uris: list[str], summary: Summary, schema: TableSchema | None) -> dict[str, Any]:
    """A summary as JSON: everything but where its rows are."""
    tally, selected = summary.tally, summary.selected
    return {
        "stats": summary.stats,
        "names": list(map(_mark, uris)),
        "counts": [tally.found, tally.exported, tally.filtered],
        "failures": [astuple(one) for one in tally.failures],
        "skipped": [astuple(one) for one in tally.skipped],
        "problems": problems_to_json(tally.problems),
        "columns": [] if schema else [sorted(columns.paths()) for columns, _ in summary.batches],
        "matched": sorted(selected.matched) if selected else [],
        "first": [[key.hex(), uri] for key, uri in selected.first.items()] if selected else None,
    }


def _summary(
    found: dict[str, Any],
    extents: list[Extent],
    stats: list[Stat],
    schema: TableSchema | None,
    options: ReadOptions,
) -> Summary:
    from dicom_bq.scan.outcome import Failure, Skipped
    from dicom_bq.selection import Met

    schemas = (
        [schema] * len(extents) if schema else [_columns(json.dumps(one), **_kind(options)) for one in found["columns"]]
    )
    selected = None
    if found["first"] is not None:
        matched = {tuple(uids) for uids in found["matched"]}
        selected = Met(matched, {bytes.fromhex(key): uri for key, uri in found["first"]})
    tally = Tally(
        found["counts"][0],
        found["counts"][1],
        [Failure(*one) for one in found["failures"]],
        [Skipped(*one) for one in found["skipped"]],
        found["counts"][2],
        problems_from_json(found["problems"]),
    )
    return Summary(tally, list(zip(schemas, extents, strict=True)), selected, stats)


def _kind(options: ReadOptions) -> dict[str, Any]:
    return {
        "include_source_store": options.get("include_source_store", False),
        "numeric_strings": options.get("numeric_strings", "text"),
    }


@lru_cache(maxsize=16)
def _columns(paths: str, **kind: Any) -> TableSchema:  # noqa: ANN401 (passed on)
    from dicom_bq.schema import TableSchema

    return TableSchema.from_paths(map(tuple, json.loads(paths)), **kind)


def _packed(found: dict[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(found).encode(), zlib.Z_BEST_SPEED)).decode()


def _unpacked(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    return found
