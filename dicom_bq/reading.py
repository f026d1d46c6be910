"""From files and datasets to record batches, a bounded number at a time, with a tally of what was met."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from dicom_bq.errors import UsageError
from dicom_bq.listing import Listing, make_parts
from dicom_bq.parts import Answer, Order, Part, Summary, Task
from dicom_bq.processors import processes
from dicom_bq.progress import Progress, Progressed, silent
from dicom_bq.read_options import ReadOptions, check_options
from dicom_bq.report import ReadReport
from dicom_bq.rowsfile import NO_FILE, NOWHERE, SpillFile
from dicom_bq.sources.files import as_text, listing
from dicom_bq.sources.spool import Spool
from dicom_bq.spill import Spill, SpilledBatch
from dicom_bq.stats import stats_of
from dicom_bq.tally import Tally

if TYPE_CHECKING:
    import pydicom

    from dicom_bq.columns.build import BuiltBatch
    from dicom_bq.columns.jsonmodel import JsonRows
    from dicom_bq.jobdir import JobDirectory
    from dicom_bq.scan.outcome import Scanned
    from dicom_bq.schema import TableSchema
    from dicom_bq.selection import Selection
    from dicom_bq.sources.members import Member

BATCH_SIZE = 1000
"""Instances in memory together. Fewer cost time for every column, more cost memory: of 2,000 6 % less time, but 264 MiB
at the peak in place of 202."""

ROUND_BYTES = BATCH_SIZE * 4 << 10
"""Of an export: its batches take 10 MiB less, and 4 % more time, than if one of 8 KiB a file were walked at once."""

T = TypeVar("T")
Fresh: TypeAlias = "BuiltBatch | JsonRows"
Built: TypeAlias = "Fresh | SpilledBatch"
Source: TypeAlias = "str | os.PathLike[str]"
Instance: TypeAlias = "pydicom.Dataset | Source"
Instances: TypeAlias = "Instance | Iterable[Instance]"


@dataclass(frozen=True, slots=True)
class Reading:
    """One pass over instances.

    Attributes:
        schema: Columns to make; None makes those that have a value, batch by batch.
        options: How.
        tally: Is kept while reading.
        progress: Is told about every batch.
        selection: Which of the files become rows; None for all that can.
        spill: Where worker processes leave rows; without one they leave none, and batches have a schema alone.
        job: Keeps what has been read, so that it need not be read again; None where a job starts anew.
        round_bytes: Bytes of files that are walked together; None for as many as are fastest.
    """

    schema: TableSchema | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    tally: Tally = field(default_factory=Tally.of_many)
    progress: Progress = silent
    selection: Selection | None = None
    spill: Spill | None = None
    job: JobDirectory | None = None
    round_bytes: int | None = None

    def __post_init__(self) -> None:
        check_options(self.options)

    def sources(self, sources: Source | Sequence[Source], exclude: Sequence[str] = ()) -> Generator[Built]:
        """Batches of the files that sources stand for, in the order of their URIs.

        Close it unless all batches are taken: it may have processes.

        Raises:
            UsageError: A source does not exist, or there is no file in any.
        """
        met: list[tuple[str, str]] = []
        spool = Spool(parent=self.spill.directory if self.spill else None)
        files = listing(
            several(sources), exclude=exclude, unreadable=lambda uri, reason: met.append((uri, reason)), spool=spool
        )
        parts = make_parts(files, met, spool, BATCH_SIZE, self.job.chunks.starts if self.job else {})
        listed = Listing(parts, spool, self.spill.directory if self.spill else None)
        return self._files(listed, spool)

    def batch(self, uris: list[str], members: Mapping[str, Member]) -> Iterator[Built]:
        """Batches of some files, in this process; mostly one."""
        return self._some(uris, functools.partial(self._scan, members=members), str)

    def instances(self, instances: Instances) -> Generator[Built]:
        """Batches of datasets and of the files that paths among them stand for, in the order given.

        The files of paths that follow each other are in the order of their URIs, each file once.
        """
        for is_path, group in itertools.groupby(_many(instances), _is_path_not_dataset):
            yield from (self._paths if is_path else self._datasets)(group)

    def report(self, schema: TableSchema, started: float) -> ReadReport:
        """What was met, once the last batch has been taken.

        Args:
            schema: Columns that the rows have in the end.
            started: When the pass began, by ``time.monotonic``.
        """
        tally = self.tally
        return ReadReport(
            found=tally.found,
            exported=tally.exported,
            failures=tally.failures,
            skipped=tally.skipped,
            filtered=tally.filtered,
            unmatched=self.selection.unmatched() if self.selection else (),
            problems=tally.problems,
            schema=schema,
            seconds=time.monotonic() - started,
        )

    @property
    def _workers(self) -> int:
        return processes(self.options.get("workers"))

    def _paths(self, paths: Iterator[Any]) -> Iterator[Built]:
        return self.sources(tuple(paths))

    def _files(self, listing: Listing, spool: Spool) -> Generator[Built]:
        told = 0
        with spool, contextlib.closing(listing.run()) as listed, contextlib.closing(self._done(listed)) as parts:
            for part in parts:
                for uri, reason in part.unreadable:
                    self.tally.unreadable(uri, reason)
                yield from self._part(part)
                if self.job:
                    self.job.chunks.passed(part)
                for path in part.finished:
                    spool.remove(path)
                self._tell(told, listing.listed, listing_done=listing.done)
                told = len(self.tally.failures)
        self._tell(told, self.tally.found, listing_done=True)
        self._raise_bug()
        if not self.tally.found:
            raise UsageError(reason="there are no files in the sources given")

    def _tell(self, told: int, listed: int, *, listing_done: bool) -> None:
        """Tell how far it is to who knows of so many failures."""
        failures = self.tally.failures
        self.progress(
            Progressed(
                found=self.tally.found,
                exported=self.tally.exported,
                failed=len(failures),
                listed=max(listed, self.tally.found),
                listing_done=listing_done,
                failures=failures[told:],
            )
        )

    def _done(self, listed: Generator[Part]) -> Generator[Part]:
        """Parts with what an earlier run or a worker has found in them, where there is either."""
        parts: Generator[Part] = self.job.chunks.take(listed) if self.job else listed
        if self._workers == 1:
            return parts
        from dicom_bq.workers import Workers

        note = self.job.note if self.job else None
        return Workers(self._task, self._workers, self.spill, work, note).run(parts)

    @property
    def _task(self) -> Task:
        selection = self.selection and self.selection.fresh()
        options: ReadOptions = {**self.options, "workers": 1}
        return Task(
            self.schema,
            options,
            selection,
            rows=self.spill is not None,
            lasting=self.job is not None,
            round_bytes=self.round_bytes,
        )

    def _part(self, part: Part) -> Iterator[Built]:
        """Batches of a part: as it was found, unless it was not, or one of its instances is a row already."""
        if not part.uris:
            return
        if part.summary is None or not self._accepts(part.summary):
            yield from self._lasting(part, self.job) if self.job else self._here(part)
            return
        self.tally.merge(part.summary.tally)
        for schema, extent in part.summary.batches:
            yield SpilledBatch(schema, part.file or NO_FILE, extent)

    def _here(self, part: Part) -> Iterator[Built]:
        """Read a part in this process, knowing what was in those before it."""
        reading = self._fresh()
        yield from reading.batch(part.uris, part.members)
        self._join(reading)

    def _lasting(self, part: Part, job: JobDirectory) -> Iterator[Built]:
        """The same, and never again."""
        reading, stats = self._fresh(), stats_of(part.uris, part.members)
        with job.spill.refusals():
            part.file = file = job.spill.own()
            batches = [(built.schema, file.append(built.batch)) for built in reading.batch(part.uris, part.members)]
            file.sync()
        selected = reading.selection.met() if reading.selection else None
        part.summary = Summary(reading.tally, batches, selected, stats)
        if not reading.tally.bug:
            alone = not any(skipped.code == "duplicate" for skipped in reading.tally.skipped)
            job.note(part, part.summary, alone=alone)
        self._join(reading)
        yield from (SpilledBatch(schema, file, extent) for schema, extent in batches)

    def _fresh(self) -> Reading:
        """The same for one part."""
        selection = self.selection and self.selection.fresh(self.selection.seen)
        return replace(self, tally=Tally(), selection=selection)

    def _join(self, reading: Reading) -> None:
        """Take over what was met in the part that is next."""
        self.tally.merge(reading.tally)
        if self.selection and reading.selection:
            self.selection.join(reading.selection.met())

    def _accepts(self, summary: Summary) -> bool:
        return self.selection is None or summary.selected is None or self.selection.join(summary.selected)

    def _scan(self, uris: list[str], members: Mapping[str, Member]) -> Scanned:
        from dicom_bq.scan.files import scan_files
        from dicom_bq.scan.outcome import ScanOptions

        limit, default = self.options.get("max_header_bytes"), ScanOptions()
        options = ScanOptions(
            max_header_bytes=default.max_header_bytes if limit is None else limit,
            max_round_bytes=self.round_bytes or default.max_round_bytes,
        )
        scanned = scan_files(uris, options, members)
        return self.selection(scanned) if self.selection else scanned

    def _datasets(self, datasets: Iterator[Any]) -> Iterator[Built]:
        for batch in _batched(datasets, BATCH_SIZE):
            told = len(self.tally.failures)
            yield from self._some(batch, _scan_datasets, _file_name)
            self._tell(told, self.tally.found, listing_done=False)
        self._raise_bug()

    def _raise_bug(self) -> None:
        if self.tally.bug and not self.tally.exported:
            raise self.tally.bug  # no table is better than one that a bug left empty

    def _some(self, batch: list[T], scan: Callable[[list[T]], Scanned], name: Callable[[T], str]) -> Iterator[Built]:
        """Rows of some instances: in halves if they are too much for one batch.

        So that a bug that one of them meets costs its row, not the job, those that meet one are halved too.
        """
        try:
            scanned = scan(batch)
            built = self._build(scanned) if scanned.uris else None
        except Exception as error:
            if len(batch) == 1:
                self.tally.broken(name(batch[0]), error)
                return
            half = len(batch) // 2
            yield from self._some(batch[:half], scan, name)
            yield from self._some(batch[half:], scan, name)
            return
        self.tally.add(len(batch), scanned, built)
        del scanned  # else the bytes that were read are in memory as long as the rows
        if built is not None:
            yield built

    def _build(self, scanned: Scanned) -> Fresh:
        if self.options.get("schema_type") == "json":
            return self._build_json(scanned)
        from dicom_bq.columns.build import BuildOptions, build

        options = BuildOptions(
            max_sequence_bytes=self.options.get("max_sequence_bytes"),
            numeric_strings=self.options.get("numeric_strings", "text"),
            include_source_store=self.options.get("include_source_store", False),
        )
        return build(scanned.table, self.schema, options, [as_text(uri) for uri in scanned.uris])

    def _build_json(self, scanned: Scanned) -> JsonRows:
        from dicom_bq.columns.jsonmodel import build_json

        return build_json(
            scanned.table,
            [(uri, scanned.members.get(uri)) for uri in scanned.uris],
            names=[as_text(uri) for uri in scanned.uris],
            max_sequence_bytes=self.options.get("max_sequence_bytes"),
            include_source_store=self.options.get("include_source_store", False),
        )


def work(task: Task, order: Order) -> Answer:
    """Carry out an order."""
    selection = task.selection and task.selection.fresh()
    reading = Reading(task.schema, task.options, Tally(), selection=selection, round_bytes=task.round_bytes)
    file = SpillFile(order.descriptor)
    batches = []
    stats = stats_of(order.uris, order.members) if task.lasting else []
    try:
        for built in reading.batch(order.uris, order.members):
            batches.append((built.schema, file.append(built.batch) if task.rows else NOWHERE))
        if task.lasting and batches:
            file.sync()
    except OSError as error:
        return error
    except Exception:
        return None
    if reading.tally.bug:
        return None
    return Summary(reading.tally, batches, selection.met() if selection else None, stats)


def _scan_datasets(datasets: list[Any]) -> Scanned:
    from dicom_bq.scan.datasets import scan_datasets
    from dicom_bq.scan.outcome import Scanned

    return Scanned(scan_datasets(datasets), tuple(map(_file_name, datasets)), (), ())


def _many(instances: Instances) -> Iterable[Instance]:
    """Several instances, or one as several: a path is not its characters, nor a dataset its elements."""
    one = _is_path(instances) or _is_dataset(instances)
    if not one and _is_content(instances):
        raise _no_instance(instances)
    return cast("Iterable[Instance]", (instances,) if one else instances)


def several(sources: Source | Iterable[Source]) -> list[Source]:
    """Sources, or one of them, as they can be looked at more than once."""
    if _is_path(sources):
        return [cast("Source", sources)]
    given = [sources] if _is_dataset(sources) or _is_content(sources) else list(cast("Iterable[Source]", sources))
    for source in given:
        if not _is_path(source):
            kind = type(source).__name__
            raise UsageError(reason=f"a source is the path of files, and one given is of type {kind}")
    return cast("list[Source]", given)


def _is_path(instance: object) -> bool:
    return isinstance(instance, str | os.PathLike)


def _is_dataset(instance: object) -> bool:
    return hasattr(instance, "to_json_dict")


def _is_path_not_dataset(instance: object) -> bool:
    """Whether an instance is a path; else it is a Dataset."""
    if not _is_path(instance) and not _is_dataset(instance):
        raise _no_instance(instance)
    return _is_path(instance)


def _is_content(given: object) -> bool:
    """Whether something is what is in a file, or reads it: it can be gone through, and is not several of anything."""
    return isinstance(given, bytes | bytearray | memoryview) or hasattr(given, "read") or not hasattr(given, "__iter__")


def _no_instance(given: object) -> UsageError:
    kind = type(given).__name__
    return UsageError(reason=f"an instance is a pydicom Dataset or the path of files, and one given is of type {kind}")


def _file_name(dataset: Any) -> str:  # noqa: ANN401 (pydicom need not be imported to know)
    """URI of a Dataset that was read from a file, else ""."""
    name = getattr(dataset, "filename", None)
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else ""


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch
