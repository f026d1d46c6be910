"""One load, however many jobs it takes: ids that say what is loaded, attempts, waiting.

"If you send a job with the same ID again, at most one of them runs"
(https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid). So a load's jobs are numbered attempts of an
id that is made of what is loaded: whoever starts the same load again meets the same jobs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from dicom_bq.destinations.bigquery_client import Job, Session
from dicom_bq.destinations.bigquery_google import UnavailableError
from dicom_bq.destinations.bigquery_tables import walk_fields
from dicom_bq.errors import DestinationError

_ABOUT_SCHEMAS = "Provided Schema does not match"
"""Beginning of a message that is about rows by its reason, and names columns only."""
_ABOUT_ROWS = frozenset(("", "badRequest", "invalid", "invalidQuery", "stopped"))
"""Reasons whose messages may quote rows; the others are about tables, rights and quotas."""
_WORDS = re.compile(r"\w+")
TRANSIENT = frozenset(("backendError", "internalError", "jobBackendError", "jobInternalError", "rateLimitExceeded"))
"""Reasons that go away by themselves: https://cloud.google.com/bigquery/docs/error-messages"""
MOST_ATTEMPTS = 5
"""Jobs of one load that one process starts. Failed ones count for the 1,500 a table and day."""
MOST_JOBS = 100
"""Jobs of one load that all processes start."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 32.0
"""Seconds before a second attempt, and at most; before the next question whether a job is done, a tenth."""


def load_id(run: str, table: str, disposition: str, content: str, fields: Sequence[dict[str, Any]]) -> str:
    """Job ID of a load, without the number of the attempt.

    Args:
        run: Identity of the run, so that a later one can load the same rows again.
        table: URI.
        disposition: ``WRITE_APPEND`` and so on.
        content: Digest of the rows.
        fields: Of the job's schema; their descriptions do not matter.
    """
    shape = [(path, item["type"], item.get("mode")) for path, item in walk_fields(fields)]
    text = json.dumps([run, table, disposition, content, shape])
    return f"dicom_bq_{hashlib.sha256(text.encode()).hexdigest()}"


def attempts(load: str) -> Iterator[str]:
    """Job IDs of a load."""
    return (f"{load}_{number}" for number in range(1, MOST_JOBS + 1))


def complete(
    session: Session,
    load: str,
    configuration: dict[str, Any],
    source: IO[bytes] | Sequence[str],
) -> Job:
    """Load, once, whatever happens on the way.

    Args:
        session: BigQuery.
        load: Id of the load.
        configuration: The job's.
        source: A file to upload, or gs:// URIs.

    Returns:
        The job that loaded, or had loaded already.

    Raises:
        DestinationError: A job failed for a reason that does not go away, or too many failed. Nothing is loaded.
        UnavailableError: BigQuery cannot be reached; what happened is not known.
    """
    failures, pauses = 0, _pauses(FIRST_PAUSE)
    for job_id in attempts(load):
        job = _started(session, job_id, configuration, source)
        if not job.reason:
            return job
        if job.started_here:  # else it failed for a process before this one, and its reason may be gone
            failures += 1
            if job.reason not in TRANSIENT or failures == MOST_ATTEMPTS:
                break
            time.sleep(next(pauses))
    raise _failed(session, job, configuration)


def _started(session: Session, job_id: str, configuration: dict[str, Any], source: IO[bytes] | Sequence[str]) -> Job:
    """Start one job, or find it, and wait for its end."""
    for pause in itertools.islice(_pauses(FIRST_PAUSE), MOST_ATTEMPTS - 1):
        try:
            return wait(session, session.load(job_id, configuration, source))
        except UnavailableError:
            # The job may have been made all the same: starting it again finds it.
            time.sleep(pause)
    return wait(session, session.load(job_id, configuration, source))


def wait(session: Session, job: Job) -> Job:
    """The job at its end. There is no bound but BigQuery's own, of six hours for a load job."""
    for pause in _pauses(FIRST_PAUSE / 10):
        if job.done:
            break
        time.sleep(pause)
        found = session.job(job.id)
        if found is None:
            raise UnavailableError(
                destination=session.table_name.uri,
                reason=f"job {job.id} is not known to BigQuery any more",
                advice="Run the same command again",
            )
        job = Job(found.id, found.done, found.rows, found.reason, found.message, job.started_here)
    return job


def settled(session: Session, load: str) -> Job | None:
    """The job of an earlier load that succeeded, None when none did; waits for one that is still running."""
    for job_id in attempts(load):
        job = session.job(job_id)
        if job is None:
            return None
        job = wait(session, job)
        if not job.reason:
            return job
    return None


def _pauses(first: float) -> Iterator[float]:
    """Seconds, doubling, with jitter so that many clients do not come back at once."""
    for number in itertools.count():
        yield min(first * 2 ** min(number, 10), LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311


def _failed(session: Session, job: Job, configuration: dict[str, Any]) -> DestinationError:
    return DestinationError(
        destination=session.table_name.uri,
        reason=f"the load job failed and nothing was loaded ({job.reason}: {_safe(job, configuration)})",
        advice=f"See bq show --job {session.job_project}:{session.location}.{job.id}",
    )


def _safe(job: Job, configuration: dict[str, Any]) -> str:
    """What may be told of a job's message: all of it unless it is about rows, then the columns that it names.

    BigQuery quotes values that it cannot convert, and all of a row that is JSON.
    """
    if job.reason not in _ABOUT_ROWS or job.message.startswith(_ABOUT_SCHEMAS):
        return job.message
    words, fields = set(_WORDS.findall(job.message)), configuration["load"]["schema"]["fields"]
    named = [item["name"] for _, item in walk_fields(fields) if item["name"] in words]
    columns = f" and is about {', '.join(dict.fromkeys(named))}" if named else ""
    return f"its message may quote rows{columns}"
