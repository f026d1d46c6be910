"""Jobs from start to end: what the library offers, and what the command line calls."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from dicom_bq.column import SOURCE_KEY
from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.jobrun import Run, job_place, row_facts, unheard
from dicom_bq.plan import ExportPlan
from dicom_bq.processors import processes
from dicom_bq.progress import Progress, Watched, silent
from dicom_bq.read_options import ReadOptions, check_options
from dicom_bq.reading import ROUND_BYTES, Instances, Reading, Source, several
from dicom_bq.report import ExportReport, ReadReport, failure_lines
from dicom_bq.schema_limits import NO_LIMITS
from dicom_bq.spill import Spill, assemble, known_schema, union
from dicom_bq.stream import InstanceStream
from dicom_bq.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

    from dicom_bq.destinations.base import WriteDisposition
    from dicom_bq.destinations.bigquery_options import BigQueryOptions
    from dicom_bq.jobdir import Tell
    from dicom_bq.operations.running import OperationOptions
    from dicom_bq.schema import TableSchema
    from dicom_bq.selection import Selection


class UnreadableWarning(UserWarning):
    """Some files failed; those functions warn so that return no report."""


def infer_schema(instances: Instances, **options: Unpack[ReadOptions]) -> TableSchema:
    """The columns that instances have a value for.

    Args:
        instances: Datasets, or paths of files and directories, or both in any order; or one of them.
        options: See ``dicom_bq.ReadOptions``.

    Raises:
        UsageError: A path does not exist.

    Warns:
        UnreadableWarning: Files could not be read.

    >>> from pydicom import Dataset
    >>> dataset = Dataset()
    >>> dataset.StudyDate, dataset.ImageType = "20240131", ["ORIGINAL", "PRIMARY"]
    >>> [f"{column.name} {column.kind}" for column in infer_schema([dataset]).columns]
    ['ImageType STRING REPEATED', 'StudyDate DATE NULLABLE', 'DroppedTags RECORD REPEATED']
    """
    report = survey(instances, **options)
    _warn(report)
    return report.schema


def survey(instances: Instances, *, progress: Progress = silent, **options: Unpack[ReadOptions]) -> ReadReport:
    """Do as ``infer_schema``, and return what was met besides the schema."""
    started = time.monotonic()
    reading = Reading(options=options, progress=progress)
    with contextlib.closing(reading.instances(instances)) as batches:
        schema = union((built.schema for built in batches), options)
    return reading.report(schema, started)


def to_arrow(instances: Instances, schema: TableSchema | None = None, **options: Unpack[ReadOptions]) -> pa.Table:
    """Instances as a table, one row each.

    Rows are in the order given, but for paths: the files of paths that follow each other are in the order of their
    URIs, each file once.

    Args:
        instances: As for ``infer_schema``.
        schema: The table's columns; None for those that have a value.
        options: See ``dicom_bq.ReadOptions``.

    Raises:
        UsageError: A path does not exist.
        SchemaError: The dictionary gives a column of the schema another type or mode.

    Warns:
        UnreadableWarning: Files could not be read.

    >>> from pydicom import Dataset
    >>> dataset = Dataset()
    >>> dataset.PatientName = "Doe^Jane"
    >>> to_arrow([dataset])["PatientName"][0].as_py()["Alphabetic"]["FamilyName"]
    'Doe'
    """
    import pyarrow as pa

    from dicom_bq.conform import conform

    started = time.monotonic()
    schema = _schema(schema, options)
    with Spill() as spill:
        reading = Reading(schema, options, spill=spill)
        built = list(reading.instances(instances))
        schema = schema or union((one.schema for one in built), options)
        _warn(reading.report(schema, started))
        arrow = schema.to_arrow()
        return pa.Table.from_batches([conform(rows, arrow) for rows in map(spill.rows, built)], arrow)


def scan(
    sources: Source | Iterable[Source], schema: TableSchema | None = None, **options: Unpack[ReadOptions]
) -> InstanceStream:
    """The instances in files as a stream that Arrow, DuckDB, pandas and Polars take.

    Args:
        sources: Directories, files and patterns; or one of them.
        schema: Columns; None for those that have a value, and then all files are read before the first row.
        options: See ``dicom_bq.ReadOptions``.

    Raises:
        UsageError: A source does not exist.
        SchemaError: The dictionary gives a column of the schema another type or mode.
    """
    return InstanceStream(several(sources), _schema(schema, options), options)


def export(
    sources: Source | Iterable[Source],
    destination: Source,
    *,
    table: str = "dicom",
    write_disposition: WriteDisposition | str | None = None,
    overwrite_table: bool = False,
    schema: TableSchema | None = None,
    filter_file: Source | None = None,
    deduplicate: bool = False,
    bigquery: BigQueryOptions | None = None,
    job_dir: Source | None = None,
    keep: bool = False,
    progress: Progress = silent,
    tell: Tell = unheard,
    deliver: Callable[[ExportReport], None] = unheard,
    operation: OperationOptions | None = None,
    **options: Unpack[ReadOptions],
) -> ExportReport:
    """Write the instances in files to a table, one row each, in the order of their URIs. All or nothing.

    However it ends, the same call again goes on where it was, and reads no file again that is as it was.

    Args:
        sources: Directories, files and patterns; or one of them.
        destination: ``bq://PROJECT.DATASET.TABLE``, ``x.duckdb``, ``x.parquet``, or a directory of Parquet files.
        table: Name of the table in a DuckDB file.
        write_disposition: ``WRITE_EMPTY`` (default): the table must be empty or absent; ``WRITE_APPEND``:
            rows and columns are added; ``WRITE_TRUNCATE``: the table is replaced. ``write-append`` does too.
        overwrite_table: The same as ``WRITE_TRUNCATE``.
        schema: The columns to make; None for those that have a value in some instance.
        filter_file: File, local or ``gs://``, of the studies, series and instances to export: a line each,
            ``/studies/UID[/series/UID[/instances/UID]]``. None for all.
        deduplicate: Of the files with one SOP Instance UID export the first, in the order of their URIs.
        bigquery: How to load into a BigQuery table.
        job_dir: Directory for what has been read, until the job is finished: rows, so it needs the room. Default:
            a hidden one beside the output; for BigQuery one in ``$XDG_STATE_HOME/dicom-bq/jobs``.
        keep: Leave it there when the job is finished.
        progress: Called now and then with a ``dicom_bq.progress.Progressed``.
        tell: Called with what a person should know: where the directory is, what is taken from it.
        deliver: Called with the report once all is written, and before the job is forgotten: if that is interrupted,
            the same call again writes nothing, and delivers it.
        operation: How the export is kept as an operation, for ``dicom-bq operations``.
        options: See ``dicom_bq.ReadOptions``.

    Returns:
        What was done. Files that cannot be read are in it, and do not stop the job.

    Raises:
        UsageError: A source does not exist, or there is no file; or the arguments contradict each other.
        SchemaError: The dictionary gives a column of the schema another type or mode.
        DestinationError: The destination cannot be written; nothing has changed.
        CancelledError: Somebody has asked it to stop; nothing has changed.

    Warns:
        OperationWarning: It cannot be kept as an operation, and goes on all the same.
    """
    from dicom_bq.destinations.resolve import resolve
    from dicom_bq.jobdir import JobDirectory
    from dicom_bq.operations.running import OperationOptions, Running

    started = time.monotonic()
    disposition = _disposition(write_disposition, overwrite_table=overwrite_table)
    sources, schema = several(sources), _schema(schema, options)
    command = _command(sources, filter_file and os.fspath(filter_file), deduplicate, {**options, "workers": 1}, schema)
    encoders = processes(options.get("workers"))
    target = resolve(destination, table=table, bigquery=bigquery, command=command, encoders=encoders)
    selection = _selection(filter_file, deduplicate=deduplicate)
    reading = Reading(schema, options, selection=selection)
    name = target.uri if target.capabilities.remote else os.fspath(destination)
    running = Running(operation or OperationOptions(), name, target.uri, bigquery.location if bigquery else None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running)
        try:
            place = job_place(destination, job_dir, table, bigquery, _command(sources))
        except DestinationError:
            reading.sources(sources)  # what is wrong with those comes first
            raise
        job = stack.enter_context(JobDirectory(place, row_facts(schema, options, selection), schema, options, tell))

        def named(report: ExportReport) -> ExportReport:
            return replace(report, operation=running.name)

        watched = Watched(running, progress)

        def written(report: ExportReport) -> None:
            if not running.is_running:  # an earlier run has written it
                running.begin()
                watched(report.progressed())
            running.written()
            deliver(named(report))

        run = Run(job, target, disposition, repr((command, disposition.value)), keep, written, _are_known(sources))
        report = run.earlier()
        if report is not None:
            return named(report)
        job.begin()
        tally = Tally.of_many(place)
        reading = replace(reading, spill=job.spill, job=job, tally=tally, progress=watched, round_bytes=ROUND_BYTES)
        exclude = [*_outputs(destination), *running.files, str(place)]
        with contextlib.closing(reading.sources(sources, exclude=exclude)) as batches:
            target.check(disposition, schema)
            job.introduce()
            running.begin()
            found, rows = assemble(batches, schema, job.spill, options)
            report = run.write(found, watched.rows(rows), lambda: reading.report(found, started))
    return named(report)


def plan_export(
    sources: Source | Iterable[Source],
    destination: Source,
    *,
    table: str = "dicom",
    write_disposition: WriteDisposition | str | None = None,
    overwrite_table: bool = False,
    schema: TableSchema | None = None,
    filter_file: Source | None = None,
    deduplicate: bool = False,
    bigquery: BigQueryOptions | None = None,
    progress: Progress = silent,
    **options: Unpack[ReadOptions],
) -> ExportPlan:
    """What ``export`` would do with the same arguments. Reads the files, and changes nothing anywhere.

    Raises:
        UsageError: As ``export``.
        DestinationError: As ``export``, as far as it can be known beforehand.
    """
    from dicom_bq.destinations.resolve import resolve

    started = time.monotonic()
    disposition = _disposition(write_disposition, overwrite_table=overwrite_table)
    sources, schema = several(sources), _schema(schema, options)
    target = resolve(destination, table=table, bigquery=bigquery)
    reading = Reading(schema, options, progress=progress, selection=_selection(filter_file, deduplicate=deduplicate))
    with contextlib.closing(reading.sources(sources, exclude=_outputs(destination))) as batches:
        target.check(disposition, schema)
        found = union((built.schema for built in batches), options)
    return ExportPlan.of(reading.report(schema or found, started), target, disposition)


def _schema(asked: TableSchema | None, options: ReadOptions) -> TableSchema | None:
    """The columns, if they are known before anything is read. Raises SchemaError if rows cannot have them."""
    from dicom_bq.schema import TableSchema

    check_options(options)
    known = known_schema(options)
    if known and asked is not None:
        raise UsageError(reason="the JSON schema variant has its own columns: leave out the schema, or the variant")
    if asked is None:
        return known
    if not isinstance(asked, TableSchema):
        kind = type(asked).__name__
        raise UsageError(reason=f"the schema is a dicom_bq.TableSchema, and the one given is of type {kind}")
    if asked.is_json_variant:
        raise UsageError(
            reason="the schema is that of the JSON variant: leave it out, or ask for schema_type json alone"
        )
    if not asked.columns:
        raise UsageError(reason="the schema has no columns: leave it out to have those that have a value")
    if options.get("include_source_store") and not any(column.key == SOURCE_KEY for column in asked.columns):
        raise UsageError(reason="the schema has no column SourceDicomStore: add it, or do not ask for that column")
    asked.check_limits(NO_LIMITS)
    completed = asked.completed(options.get("numeric_strings", "text"))
    completed.to_arrow()  # or a type that rows cannot have is met in the first of them
    return completed


def _selection(filter_file: Source | None, *, deduplicate: bool) -> Selection | None:
    from dicom_bq.selection import Selection, read_filter

    if filter_file is None and not deduplicate:
        return None
    return Selection(read_filter(os.fspath(filter_file)) if filter_file else None, deduplicate)


def _command(sources: Sequence[Source], *arguments: object) -> str:
    """What makes two exports to one destination the same: an interrupted one is taken up by its like."""
    return repr([*(_identity(os.fsdecode(source)) for source in sources), *arguments])


def _are_known(sources: Sequence[Source]) -> bool:
    """Whether the same words mean the same sources another time."""
    from dicom_bq.sources.lists import is_known, is_list

    return all(is_known(source) for source in map(os.fsdecode, sources) if is_list(source))


def _identity(source: str) -> str:
    """What is the same for the same source; two lists may have different contents."""
    from dicom_bq.sources.lists import identity, is_list

    return identity(source) if is_list(source) else os.path.abspath(source)  # noqa: PTH100 (links stay)


def _disposition(asked: WriteDisposition | str | None, *, overwrite_table: bool) -> WriteDisposition:
    from dicom_bq.destinations.base import WriteDisposition

    if asked is None:
        return WriteDisposition.WRITE_TRUNCATE if overwrite_table else WriteDisposition.WRITE_EMPTY
    if overwrite_table:
        raise UsageError(reason="give a write disposition or overwrite the table, not both")
    return WriteDisposition.parse(asked)


def _outputs(destination: Source) -> list[str]:
    """The output and what stands beside it while it is written: none of that is a source."""
    path = Path(os.path.realpath(destination))
    hidden = [str(path.with_name(f".{path.name}.{suffix}")) for suffix in ("lock", "old", "ready", "spill", "writing")]
    return [str(path), f"{path}.wal", *hidden]


def _warn(report: ReadReport) -> None:
    if report.failures:
        lines = "\n".join(failure_lines(report.failures))
        warnings.warn(f"{report.failed} of {report.found} failed\n{lines}", UnreadableWarning, stacklevel=3)
