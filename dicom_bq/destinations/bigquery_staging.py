"""Files in Cloud Storage for one load job, which reads them by an explicit list of URIs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from dicom_bq.destinations.bigquery_client import Session
from dicom_bq.destinations.bigquery_files import MOST_PARTS, Part
from dicom_bq.destinations.bigquery_google import storage_client, translated
from dicom_bq.destinations.bigquery_options import BigQueryOptions
from dicom_bq.errors import DestinationError, UsageError


@dataclass(frozen=True, slots=True)
class Staging:
    """A folder of one run: ``gs://BUCKET/PREFIX/RUN/``.

    Attributes:
        session: Cloud Storage.
        bucket: Its name.
        folder: Prefix of the objects' names, with a slash at the end.
    """

    session: Session
    bucket: str
    folder: str

    @classmethod
    def of(cls, session: Session, uri: str, run: str) -> Staging:
        """The folder of a run under ``gs://BUCKET/PREFIX``."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        folder = f"{prefix.strip('/')}/{run}/" if prefix.strip("/") else f"{run}/"
        return cls(session, bucket, folder)

    def check(self) -> None:
        """See that the bucket is there. Whoever may not ask for that may be allowed to write to it all the same.

        Raises:
            DestinationError: It is not, or Cloud Storage is not reached.
        """
        from google.api_core.exceptions import Forbidden

        with self.session.translated(), contextlib.suppress(Forbidden):
            if not self.session.storage.bucket(self.bucket).exists():
                raise DestinationError(
                    destination=self.session.table_name.uri,
                    reason=f"there is no bucket gs://{self.bucket} to put files in (--staging)",
                    advice="Make it first (gcloud storage buckets create), or correct its name",
                )

    def put(self, parts: Iterable[Part]) -> tuple[list[str], list[Part]]:
        """Upload files as they are made; each is closed.

        Returns:
            URIs, and the files' facts.

        Raises:
            DestinationError: There are more than one load job reads, or Cloud Storage refuses.
        """
        uris, uploaded = [], []
        for number, part in enumerate(parts):
            if number == MOST_PARTS:
                part.file.close()
                raise DestinationError(
                    destination=self.session.table_name.uri,
                    reason=f"the rows need more than {MOST_PARTS:,} files, and so more than one load job",
                    advice="Export in several runs with write-append",
                )
            uris.append(self._put(part, f"part-{number:05}-{part.digest[:16]}.parquet"))
            uploaded.append(part)
        return uris, uploaded

    def _put(self, part: Part, name: str) -> str:
        from google.api_core.exceptions import PreconditionFailed

        blob = self.session.storage.bucket(self.bucket).blob(self.folder + name)
        # One that is there is of an attempt before this one: its name says that it is the same.
        with part.file, self.session.translated(), contextlib.suppress(PreconditionFailed):
            blob.upload_from_file(part.file, rewind=True, size=part.bytes, if_generation_match=0)
        return f"gs://{self.bucket}/{self.folder}{name}"

    def clear(self) -> None:
        """Remove the run's files, those of an interrupted attempt too.

        Warns:
            UserWarning: They cannot be removed. That is no error: the rows are where they belong.
        """
        try:
            with self.session.translated():
                for blob in list(self.session.storage.list_blobs(self.bucket, prefix=self.folder)):
                    blob.delete()
        except DestinationError as error:
            left = f"gs://{self.bucket}/{self.folder}"
            warnings.warn(f"files are left in {left}: {error}", stacklevel=2)


def read_text(uri: str) -> str:
    """Text of an object ``gs://BUCKET/OBJECT``.

    Raises:
        DestinationError: Cloud Storage refuses.
        UsageError: It is not UTF-8 text.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    with translated(uri), storage_client(uri, None, BigQueryOptions().api_endpoint) as client:
        data: bytes = client.bucket(bucket).blob(name).download_as_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(reason=f"{uri} is not UTF-8 text") from error
