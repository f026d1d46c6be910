"""What is kept of one export, in the shape of the Healthcare API's long-running operations.

https://cloud.google.com/healthcare-api/docs/how-tos/long-running-operations

One key is ours, ``dicomBq``: where the table is, and which process is at it. An export in which some files failed
has a ``response``, as in the API, and says how many in ``counter.failure``; ``error`` is for those that made no table,
or a table without any row because each file failed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dicom_bq.operations.codes import Code
from dicom_bq.operations.process import Process

METADATA = "type.googleapis.com/google.cloud.healthcare.v1.OperationMetadata"
EMPTY = "type.googleapis.com/google.protobuf.Empty"
SAMPLES = "type.googleapis.com/dicom_bq.SampleErrors"
BIGQUERY_METHOD = "google.cloud.healthcare.v1.dicom.DicomService.ExportDicomData_bq"
"""The API's own name of an export to BigQuery; it has none for our other destinations."""
OTHER_METHOD = "dicom_bq.DicomService.ExportDicomData_{kind}"
"""With ``duckdb`` or ``parquet``."""
RESOURCE_PATTERN = "projects/{project}/locations/{location}/datasets/{dataset}/operations/{id}"
ABORTED_MESSAGE = (
    "the process ended without a word: it was killed, or the machine went down. "
    "Nothing is half written; run the same command again"
)

CANCELLED_MESSAGE = "the export was interrupted; nothing is half written"

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.:-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One export.

    Attributes:
        name: Of the operation, as a resource.
        method: ``apiMethodName``.
        destination: URI of the table.
        process: That does it.
        stoppable: Whether the process may be sent SIGTERM: it is our program, not one that has us as a library.
        logs: URI of the log of failed files, which is there once a file has failed.
        created: When it began, RFC 3339.
        updated: When this was written.
        ended: When it ended; "" while it has not.
        running: It has begun to read.
        cancel_requested: Somebody has asked it to stop.
        success: Files that are a row; when the export failed, none is.
        failure: Files that failed.
        pending: Files that are known of and neither of the two; without those that are skipped.
        error: Why it failed, as google.rpc.Status.
    """

    name: str
    method: str
    destination: str
    process: Process
    stoppable: bool
    logs: str
    created: str
    updated: str
    ended: str = ""
    running: bool = False
    cancel_requested: bool = False
    success: int = 0
    failure: int = 0
    pending: int = 0
    error: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def state(self) -> str:
        """In a word."""
        if self.ended:
            code = self.error["code"] if self.error else 0
            return {0: "DONE", Code.CANCELLED: "CANCELLED", Code.ABORTED: "ABORTED"}.get(code, "FAILED")
        return "RUNNING" if self.running else "PENDING"

    def to_dict(self) -> dict[str, Any]:
        """The API's object, and our key."""
        failure = {"failure": str(self.failure)} if self.failure else {}
        metadata = {
            "@type": METADATA,
            "apiMethodName": self.method,
            "createTime": self.created,
            **({"endTime": self.ended} if self.ended else {}),
            "logsUrl": self.logs,
            **({"cancelRequested": True} if self.cancel_requested else {}),
            "counter": {"success": str(self.success), **failure, "pending": str(self.pending)},
        }
        result = {"error": self.error} if self.error else {"response": {"@type": EMPTY}}
        return {
            "name": self.name,
            "metadata": metadata,
            **({"done": True, **result} if self.ended else {}),
            "dicomBq": {
                "state": self.state,
                "destination": self.destination,
                "updateTime": self.updated,
                "process": asdict(self.process),
                "stoppable": self.stoppable,
            },
        }

    def to_json(self) -> str:
        """For people and programs."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Operation:
        """Read what ``to_json`` has written.

        Raises:
            ValueError: It is something else.
        """
        try:
            found = json.loads(text)
            metadata, ours = found["metadata"], found["dicomBq"]
            counter = metadata["counter"]
            return cls(
                name=found["name"],
                method=metadata["apiMethodName"],
                destination=ours["destination"],
                process=Process(**ours["process"]),
                stoppable=ours["stoppable"],
                logs=metadata["logsUrl"],
                created=metadata["createTime"],
                updated=ours["updateTime"],
                ended=metadata.get("endTime", ""),
                running=ours["state"] != "PENDING",
                cancel_requested=metadata.get("cancelRequested", False),
                success=int(counter["success"]),
                failure=int(counter.get("failure", 0)),
                pending=int(counter["pending"]),
                error=found.get("error"),
            )
        except (KeyError, TypeError) as error:
            message = "this is no record of an operation"
            raise ValueError(message) from error


def method_of(place: str) -> str:
    """``apiMethodName`` of an export to a place: a BigQuery table's URI, or a path."""
    if place.startswith("bq://"):
        return BIGQUERY_METHOD
    return OTHER_METHOD.format(kind="duckdb" if place.lower().endswith((".duckdb", ".db")) else "parquet")


def name_of(place: str, identifier: str, host: str, location: str | None) -> str:
    """The operation's name as a resource.

    Args:
        place: A BigQuery table's URI, which has a project and a dataset; or a path: then the project is ``local``,
            and the dataset the file's name without its suffix.
        identifier: The operation's.
        host: The machine's name, location of what is local.
        location: Of the BigQuery dataset, where it was given; else ``-``.
    """
    if place.startswith("bq://"):
        project, dataset, _ = place.removeprefix("bq://").rsplit(".", 2)
        location = location or "-"
    else:
        project, dataset, location = "local", Path(place).stem, host
    parts = {"project": project, "location": location, "dataset": dataset, "id": identifier}
    return RESOURCE_PATTERN.format(**{key: _NOT_IN_NAMES.sub("_", part) or "-" for key, part in parts.items()})


def status(code: Code, message: str, samples: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """A google.rpc.Status; with sample errors of files among its details."""
    details = [{"@type": SAMPLES, "sampleErrors": list(samples)}] if samples else []
    return {"code": int(code), "message": message, **({"details": details} if details else {})}
