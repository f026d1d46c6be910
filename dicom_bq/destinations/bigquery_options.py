"""What a user says about a BigQuery destination, checked before anything is asked of Google."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicom_bq.errors import UsageError

LONGEST_URI = 2_000
"""Characters, as for ``bigqueryDestination.tableUri`` of the Healthcare API."""
MOST_CLUSTER_COLUMNS = 4
"""https://cloud.google.com/bigquery/docs/clustered-tables#limitations"""
MOST_LABELS = 63
"""BigQuery has room for 64, one of which says that the job is ours."""

GRANULARITIES = ("HOUR", "DAY", "MONTH", "YEAR")

_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z0-9-]+")
_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}")
# https://cloud.google.com/bigquery/docs/tables#table_naming: letters, marks, digits, connectors, dashes, spaces
_TABLE = re.compile(r"[\w\- \u2010-\u2015]{1,1024}")
# https://cloud.google.com/bigquery/docs/labels-intro#requirements
_LABEL_KEY = re.compile(r"[^\W\dA-Z_][^\WA-Z]*(?:-[^\WA-Z]*)*")
_LABEL_VALUE = re.compile(r"[^\WA-Z]*(?:-[^\WA-Z]*)*")
_POLICY_TAG = re.compile(r"projects/[^/]+/locations/[^/]+/taxonomies/[^/]+/policyTags/[^/]+")
_ENDPOINT = re.compile(r"(?i:https?)://(?:\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+)(?::\d+)?(?:/\S*)?")
_STAGING = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](?:/[^*\n\r]*)?")


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's full name.

    Attributes:
        project: Project that owns the table.
        dataset: Dataset in it.
        table: Table in that.
    """

    project: str
    dataset: str
    table: str

    @property
    def uri(self) -> str:
        """As the Healthcare API writes it."""
        return f"bq://{self.project}.{self.dataset}.{self.table}"

    @property
    def sql(self) -> str:
        """As GoogleSQL writes it."""
        return f"`{self.project}.{self.dataset}.{self.table}`"

    @classmethod
    def parse(cls, uri: str) -> TableName:
        """Read ``bq://PROJECT.DATASET.TABLE``, or ``bq://DATASET.TABLE`` of the environment's project.

        Raises:
            UsageError: It is none, or no project is given and GOOGLE_CLOUD_PROJECT is not set.
        """
        if len(uri) > LONGEST_URI:
            raise UsageError(reason=f"a BigQuery URI has at most {LONGEST_URI:,} characters, this one {len(uri):,}")
        parts = uri.removeprefix("bq://").rsplit(".", 2)
        if not uri.startswith("bq://") or len(parts) < 2:
            raise UsageError(reason=f"{uri} is not of the form bq://PROJECT.DATASET.TABLE")
        name = cls(parts[0] if parts[2:] else _project_of_environment(uri), *parts[-2:])
        wanted = {"project": _PROJECT, "dataset": _DATASET, "table": _TABLE}
        for part, pattern in wanted.items():
            if not pattern.fullmatch(getattr(name, part)):
                raise UsageError(reason=f"{uri}: {getattr(name, part)!r} cannot be the name of a {part}")
        return name


def _project_of_environment(uri: str) -> str:
    project = os.environ.get("GOOGLE_CLOUD_PROJECT")
    if not project:
        advice = "write bq://PROJECT.DATASET.TABLE, or set GOOGLE_CLOUD_PROJECT"
        raise UsageError(reason=f"{uri} names no project: {advice}")
    return project


@dataclass(frozen=True, slots=True, kw_only=True)
class BigQueryOptions:
    """How to load into BigQuery.

    Attributes:
        location: Where the job runs; None for the dataset's location.
        api_endpoint: URL of a server to talk to in the place of Google's, without credentials. Default: the
            environment variable BIGQUERY_EMULATOR_HOST.
        job_project: Project that runs the job; None for the table's.
        staging: ``gs://bucket/prefix`` to put the files in; None to upload one file.
        partition_by: Of a new table, such as ``month:StudyDate``; None for no partitions.
        cluster_by: Of a new table; None for the UIDs of study, series and instance.
        labels: Of a new table, and of the job.
        policy_tags: Resource names by keyword (at every level) or path (``A.B``); a record's is its leaves'.
        state_directory: Where the identity of a run is kept until it is finished; None for the user's.

    Raises:
        UsageError: One of them cannot be; says why.
    """

    location: str | None = None
    api_endpoint: str | None = field(default_factory=lambda: os.environ.get("BIGQUERY_EMULATOR_HOST"))
    job_project: str | None = None
    staging: str | None = None
    partition_by: str | None = None
    cluster_by: Sequence[str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    policy_tags: Mapping[str, str] = field(default_factory=dict)
    state_directory: str | None = None

    def __post_init__(self) -> None:
        """Refuse what BigQuery would refuse."""
        self._check_shape()
        self._check_places()
        if len(self.labels) > MOST_LABELS:
            raise UsageError(reason=f"a table has at most {MOST_LABELS} labels, these are {len(self.labels)}")
        for key, value in self.labels.items():
            if not _is_label(key, value):
                rules = "lower-case letters, digits, _ and -, at most 63 characters, a letter first"
                raise UsageError(reason=f"label {key}={value} cannot be: {rules}")
        for keyword, resource in self.policy_tags.items():
            if not _POLICY_TAG.fullmatch(resource):
                form = "projects/P/locations/L/taxonomies/T/policyTags/N"
                raise UsageError(reason=f"policy tag of {keyword}: {resource} is not of the form {form}")

    def _check_places(self) -> None:
        if self.staging is not None and not _STAGING.fullmatch(self.staging):
            raise UsageError(reason=f"staging {self.staging} is not of the form gs://BUCKET/PREFIX")
        if self.api_endpoint and not _ENDPOINT.fullmatch(self.api_endpoint):
            form = "http://HOST:PORT, such as http://localhost:9050, or https://HOST"
            raise UsageError(
                reason=f"API endpoint {self.api_endpoint} is not of the form {form}: correct --api-endpoint, or the "
                "environment variable BIGQUERY_EMULATOR_HOST"
            )

    def _check_shape(self) -> None:
        if self.partition_by is not None:
            granularity, _, column = self.partition_by.partition(":")
            if granularity.upper() not in GRANULARITIES or not column:
                known = ", ".join(GRANULARITIES).lower()
                form = f"GRANULARITY:COLUMN, such as month:StudyDate (granularities: {known})"
                raise UsageError(reason=f"partition by {self.partition_by}: expected {form}")
        if len(self.cluster_by or ()) > MOST_CLUSTER_COLUMNS:
            raise UsageError(reason=f"a table is clustered by at most {MOST_CLUSTER_COLUMNS} columns")
        names = [name.lower() for name in self.cluster_by or ()]
        if len(set(names)) < len(names):
            raise UsageError(reason=f"cluster by {', '.join(self.cluster_by or ())}: a column is in it twice")

    @property
    def time_partitioning(self) -> dict[str, Any] | None:
        """``timePartitioning`` of a new table, as the API has it."""
        if self.partition_by is None:
            return None
        granularity, _, column = self.partition_by.partition(":")
        return {"type": granularity.upper(), "field": column}


def _is_label(key: str, value: str) -> bool:
    longest = 63
    fits = len(key) <= longest and len(value) <= longest
    return fits and bool(_LABEL_KEY.fullmatch(key)) and bool(_LABEL_VALUE.fullmatch(value))


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` texts of a command line as a mapping.

    Raises:
        UsageError: One has no ``=``, or a key is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(reason=f"{option} {text}: expected KEY=VALUE")
        if key in found:
            raise UsageError(reason=f"{option} {key} is given twice")
        found[key] = value
    return found
