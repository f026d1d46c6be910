"""Nothing lost and nothing twice, whatever goes wrong between the first request and the last answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dicom_bq.destinations import bigquery_runs
from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.bigquery import BigQueryTable
from dicom_bq.destinations.bigquery_google import UnavailableError
from dicom_bq.destinations.bigquery_options import BigQueryOptions
from dicom_bq.destinations.resolve import resolve
from dicom_bq.errors import DestinationError
from dicom_bq.schema import TableSchema, schema_from_keywords
from tests.fake_bigquery import FakeBigQuery, Fault

EMPTY, APPEND, TRUNCATE = WriteDisposition
SCHEMA = schema_from_keywords(["SOPInstanceUID", "ImageType"])
WIDER = SCHEMA.merge(schema_from_keywords(["Modality"]))


class KilledError(BaseException):
    """Stands for a process that ends here: nothing may catch it."""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeBigQuery]:
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        yield fake
    assert fake.bugs == []


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "dicom-bq" / "runs"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No pause takes time; what they would have been."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def batches(uids: list[str], schema: TableSchema = SCHEMA) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pylist([{"SOPInstanceUID": uid} for uid in uids], schema=schema.to_arrow())]


def table(fake: FakeBigQuery, command: str = "", **options: Any) -> BigQueryTable:
    bigquery = BigQueryOptions(api_endpoint=fake.url, **options)
    destination = resolve("bq://p1.ds.t", bigquery=bigquery, command=command)
    assert isinstance(destination, BigQueryTable)
    return destination


def export(
    fake: FakeBigQuery,
    disposition: WriteDisposition,
    uids: list[str],
    schema: TableSchema = SCHEMA,
    **options: Any,
) -> int:
    destination = table(fake, **options)
    destination.check(disposition, None)
    try:
        return destination.write(schema, batches(uids, schema), disposition)
    finally:
        destination.close()


def uids(fake: FakeBigQuery) -> list[str]:
    return sorted(row["SOPInstanceUID"] for row in fake.rows("ds.t"))


FAULTS = {
    "503 before the upload starts": Fault("POST", "/upload/"),
    "503 after the upload starts": Fault("POST", "/upload/", when="after"),
    "429 for the upload": Fault("POST", "/upload/", "rateLimitExceeded", times=3),
    "503 before the commit": Fault("PUT", "/session/"),
    "503 after the commit": Fault("PUT", "/session/", when="after"),
    "connection lost in the upload": Fault("PUT", "/session/", "drop"),
    "connection lost after the commit": Fault("PUT", "/session/", "drop", when="after"),
    "upload forgotten after the commit": Fault("PUT", "/session/", "notFound", when="after"),
    "503 while waiting": Fault("GET", "/jobs/"),
    "connection lost while waiting": Fault("GET", "/jobs/", "drop", times=2),
    "429 while waiting": Fault("GET", "/jobs/", "rateLimitExceeded", times=2),
    "503 for the table": Fault("GET", "/tables/t"),
    "503 for the dataset": Fault("GET", "/datasets/ds"),
    "job fails at the backend": Fault("JOB", "", "backendError"),
    "jobs fail internally": Fault("JOB", "", "internalError", times=3),
    "job is told to come back": Fault("JOB", "", "rateLimitExceeded", times=2),
}


@pytest.mark.parametrize("disposition", [EMPTY, APPEND, TRUNCATE])
@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_that_passes_is_not_seen(fake: FakeBigQuery, case: str, disposition: WriteDisposition) -> None:
    before = [] if disposition is EMPTY else ["0"]
    if before:
        export(fake, EMPTY, before)
    fault = FAULTS[case]
    struck = Fault(fault.method, fault.path, fault.reason, fault.when, fault.times)
    fake.faults.append(struck)
    assert export(fake, disposition, ["1", "2"]) == 2
    assert struck.times == 0
    assert uids(fake) == [*(before if disposition is APPEND else []), "1", "2"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_job_that_is_there_and_is_not_found_is_looked_for_again(fake: FakeBigQuery, when: str) -> None:
    """For a moment after a conflict: nobody knows what the job has done, so it is not started under another name."""
    fake.faults += [Fault("PUT", "/session/", "duplicate", when=when), Fault("GET", "/jobs/", "notFound")]
    assert export(fake, APPEND, ["1"]) == 1
    assert [fault.times for fault in fake.faults] == [0, 0]
    assert uids(fake) == ["1"]
    assert len(fake.jobs.by_id) == 1


def test_a_job_that_is_there_and_is_never_found_is_not_reached(fake: FakeBigQuery) -> None:
    fake.faults += [Fault("PUT", "/session/", "duplicate", times=5), Fault("GET", "/jobs/", "notFound", times=5)]
    with pytest.raises(UnavailableError, match=r"job dicom_bq_\w+ exists and cannot be read\. Run the same command"):
        export(fake, APPEND, ["1"])
    assert export(fake, APPEND, ["1"]) == 1
    assert [fault.times for fault in fake.faults] == [0, 0]
    assert uids(fake) == ["1"]


def test_a_commit_whose_answer_never_comes_is_found_by_its_id(fake: FakeBigQuery, pauses: list[float]) -> None:
    """The client tries seven times; then the job is looked for, not started again."""
    fake.faults.append(Fault("PUT", "/session/", "backendError", when="after", times=7))
    assert export(fake, APPEND, ["1"]) == 1
    assert uids(fake) == ["1"]
    assert len(fake.jobs.by_id) == 1
    assert fake.faults[0].times == 0


@pytest.mark.parametrize("reason", ["invalid", "quotaExceeded", "accessDenied", "notFound"])
def test_a_reason_that_stays_is_not_tried_again(fake: FakeBigQuery, state: Path, reason: str) -> None:
    fake.faults.append(Fault("JOB", "", reason, times=2))
    told = "its message may quote rows" if reason == "invalid" else "A fault"
    with pytest.raises(
        DestinationError, match=rf"nothing was loaded \({reason}: {told}.*bq show --job p1:US\.dicom_bq"
    ):
        export(fake, APPEND, ["1"])
    assert fake.faults[0].times == 1
    assert list(state.iterdir()) == []
    fake.faults.clear()
    assert export(fake, APPEND, ["1"]) == 1
    assert uids(fake) == ["1"]


def test_columns_that_stay_when_the_load_fails_are_named(fake: FakeBigQuery) -> None:
    export(fake, EMPTY, ["1"])
    fake.faults.append(Fault("JOB", "", "quotaExceeded", times=2))
    message = (
        r"nothing was loaded \(quotaExceeded: .*\); columns that were added to the table before stay: Modality\. See"
    )
    with pytest.raises(DestinationError, match=message):
        export(fake, APPEND, ["2"], WIDER)
    assert [field["name"] for field in fake.table("ds.t").fields][-1] == "Modality"
    assert uids(fake) == ["1"]
    with pytest.raises(DestinationError, match=r"nothing was loaded \(quotaExceeded: [^;]*$"):
        export(fake, APPEND, ["2"], WIDER)
    fake.faults.clear()
    assert export(fake, APPEND, ["2"], WIDER) == 1


def test_retries_end(fake: FakeBigQuery, pauses: list[float]) -> None:
    fake.faults.append(Fault("JOB", "", "backendError", times=100))
    with pytest.raises(DestinationError, match=r"nothing was loaded \(backendError"):
        export(fake, APPEND, ["1"])
    assert len(fake.jobs.by_id) == 5
    assert sorted(job_id.rpartition("_")[2] for _, job_id in fake.jobs.by_id) == list("12345")
    assert max(pauses) >= 4
    assert fake.catalog.tables == {}


def test_each_attempt_has_the_id_of_what_is_loaded(fake: FakeBigQuery) -> None:
    fake.faults.append(Fault("JOB", "", "backendError"))
    export(fake, APPEND, ["1"])
    export(fake, APPEND, ["1"])
    first, second, other = (job_id.rpartition("_") for _, job_id in fake.jobs.by_id)
    assert (first[0], first[2], second[2]) == (second[0], "1", "2")
    assert other[0] != first[0]


def test_forbidden_says_which_roles(fake: FakeBigQuery) -> None:
    fake.faults.append(Fault("GET", "/datasets/ds$", "accessDenied"))
    with pytest.raises(DestinationError, match="BigQuery Data Editor on the dataset"):
        table(fake).check(APPEND, None)


def test_somebody_elses_change_between_reading_and_patching(fake: FakeBigQuery) -> None:
    export(fake, EMPTY, ["1"])
    fake.faults.append(Fault("PATCH", "/tables/t", "conditionNotMet", times=3))
    assert export(fake, APPEND, ["2"], WIDER) == 1
    assert uids(fake) == ["1", "2"]
    fake.faults.append(Fault("PATCH", "/tables/t", "conditionNotMet", times=5))
    widest = WIDER.merge(schema_from_keywords(["PatientID"]))
    with pytest.raises(DestinationError, match="columns change all the time"):
        export(fake, APPEND, ["3"], widest)
    assert uids(fake) == ["1", "2"]


def test_rows_that_were_written_and_not_loaded_are_an_error(fake: FakeBigQuery, state: Path) -> None:
    original = fake.jobs.insert

    def short(project: str, body: dict[str, Any], upload: Path | None = None) -> dict[str, Any]:
        answer = original(project, body, upload)
        next(iter(fake.jobs.by_id.values())).resource["statistics"]["load"]["outputRows"] = "1"
        return answer

    fake.jobs.insert = short  # type: ignore[method-assign]
    with pytest.raises(DestinationError, match="loaded 1 rows, and 2 were written"):
        export(fake, APPEND, ["1", "2"])
    assert list(state.iterdir()) == []


def kill(*_: object) -> None:
    raise KilledError


KILLED_AT = {
    "rows are written": "dicom_bq.destinations.bigquery_files.Part",
    "nothing is on disk": "dicom_bq.destinations.bigquery_runs.Run.announce",
    "before columns are added": "dicom_bq.destinations.bigquery.BigQueryTable._add_columns",
    "before the job": "dicom_bq.destinations.bigquery_client.Session._start",
    "while waiting": "dicom_bq.destinations.bigquery_jobs.wait",
    "before the run is forgotten": "dicom_bq.destinations.bigquery_runs.Run.forget",
}


@pytest.mark.parametrize(
    ("point", "disposition"),
    [
        (point, disposition)
        for point in KILLED_AT
        for disposition in WriteDisposition
        if (point, disposition) != ("before columns are added", TRUNCATE)  # which adds none
    ],
)
def test_a_run_that_ended_anywhere_is_taken_up(
    fake: FakeBigQuery, state: Path, monkeypatch: pytest.MonkeyPatch, point: str, disposition: WriteDisposition
) -> None:
    before = [] if disposition is EMPTY else ["0"]
    export(fake, EMPTY, before)
    with monkeypatch.context() as patched:
        patched.setattr(KILLED_AT[point], kill)
        with pytest.raises(KilledError, match=r"^$"):
            export(fake, disposition, ["1", "2"], WIDER)
    assert export(fake, disposition, ["1", "2"], WIDER) == 2
    assert uids(fake) == [*(before if disposition is APPEND else []), "1", "2"]
    assert list(state.iterdir()) == []
    if disposition is APPEND:
        assert export(fake, disposition, ["1", "2"], WIDER) == 2
        assert uids(fake) == ["0", "1", "1", "2", "2"]


def interrupt(
    fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch, disposition: WriteDisposition, uids: list[str], **options: Any
) -> None:
    """An export that ends after its job ran."""
    with monkeypatch.context() as patched:
        patched.setattr("dicom_bq.destinations.bigquery_jobs.wait", kill)
        with pytest.raises(KilledError, match=r"^$"):
            export(fake, disposition, uids, **options)


def test_files_that_changed_after_an_interruption_are_not_added_to_their_former_selves(
    fake: FakeBigQuery, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(fake, monkeypatch, APPEND, ["1"])
    with pytest.raises(DestinationError, match=r"had written its 1 rows.*have changed since.*Run it again"):
        export(fake, APPEND, ["1", "2"])
    assert uids(fake) == ["1"]
    assert list(state.iterdir()) == []
    assert export(fake, APPEND, ["1", "2"]) == 2
    assert uids(fake) == ["1", "1", "2"]


def test_files_that_changed_replace_their_former_selves(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(fake, monkeypatch, TRUNCATE, ["1"])
    assert export(fake, TRUNCATE, ["1", "2"]) == 2
    assert uids(fake) == ["1", "2"]


def test_an_interrupted_job_that_failed_holds_nobody_up(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.faults.append(Fault("JOB", "", "invalid"))
    interrupt(fake, monkeypatch, APPEND, ["1"])
    assert export(fake, APPEND, ["1"]) == 1
    interrupt(fake, monkeypatch, APPEND, ["2"])
    assert export(fake, APPEND, ["2"]) == 1
    assert uids(fake) == ["1", "2"]


def test_another_command_is_another_run(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(fake, monkeypatch, APPEND, ["1"], command="this")
    assert export(fake, APPEND, ["1"], command="that") == 1
    assert uids(fake) == ["1", "1"]
    assert export(fake, APPEND, ["1"], command="this") == 1
    assert uids(fake) == ["1", "1"]


def test_the_same_export_twice_at_a_time_is_refused(fake: FakeBigQuery) -> None:
    destination = table(fake)
    with (
        bigquery_runs.take_up(destination._journal(APPEND), "bq://p1.ds.t"),
        pytest.raises(DestinationError, match="running in another process"),
    ):
        export(fake, APPEND, ["1"])


def test_a_state_directory_that_cannot_be_written(fake: FakeBigQuery, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DestinationError, match=r"cannot keep the identity of this run.*XDG_STATE_HOME"):
        export(fake, APPEND, ["1"], state_directory=str(tmp_path / "file" / "runs"))
    assert fake.load_configs() == []


def test_staged_files_survive_what_the_job_may_still_need(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    bucket = fake.create_bucket("stage")
    interrupt(fake, monkeypatch, APPEND, ["1"], staging="gs://stage/in")
    assert len([path for path in bucket.rglob("*") if path.is_file()]) == 1
    assert export(fake, APPEND, ["1"], staging="gs://stage/in") == 1
    assert [path for path in bucket.rglob("*") if path.is_file()] == []
    assert uids(fake) == ["1"]


def test_staged_files_that_cannot_be_removed_are_a_warning(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    fake.create_bucket("stage")
    fake.faults.append(Fault("DELETE", "/storage/", "accessDenied"))
    with pytest.warns(UserWarning, match="files are left in gs://stage/in/"):
        assert export(fake, APPEND, ["1"], staging="gs://stage/in") == 1
    assert uids(fake) == ["1"]


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("google.cloud.bigquery.retry.DEFAULT_RETRY._timeout", 0.1)
    destination = resolve("bq://p1.ds.t", bigquery=BigQueryOptions(api_endpoint="http://127.0.0.1:9"))
    with pytest.raises(UnavailableError, match=r"cannot be reached.*loads nothing twice"):
        destination.check(APPEND, None)
