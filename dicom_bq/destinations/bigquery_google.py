"""Google's packages: clients of them, and their exceptions as ours. Imported inside functions, since it takes 0.3 s."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dicom_bq.errors import DestinationError, MissingDependencyError

if TYPE_CHECKING:
    from google.cloud.bigquery import Client
    from google.cloud.storage import Client as StorageClient

_ROLES = "Ask for the roles BigQuery Data Editor on the dataset and BigQuery Job User on the project"
_ADVICE = {
    "accessDenied": _ROLES,
    "forbidden": _ROLES,
    "notFound": "Make it first (bq mk --dataset, gcloud storage buckets create), or correct its name",
    "quotaExceeded": "Wait until the quota is renewed: https://cloud.google.com/bigquery/quotas",
}
"""What to do next, by the reason of an error: https://cloud.google.com/bigquery/docs/error-messages"""
_ADVICE_OTHERWISE = "See https://cloud.google.com/bigquery/docs/error-messages"


class UnavailableError(DestinationError):
    """Google was not reached, or answered that it is busy, for as long as its client tries."""


def bigquery_client(destination: str, project: str, endpoint: str | None) -> Client:
    """A client of BigQuery.

    Args:
        destination: URI, for messages.
        project: That runs jobs.
        endpoint: URL of another server than Google's, which is given no credentials; None for Google's, with
            application-default credentials.

    Raises:
        MissingDependencyError: The extra is not installed.
        DestinationError: There are no credentials.
    """
    bigquery = _package("google.cloud.bigquery")
    anonymous = {"credentials": _anonymous(), "client_options": {"api_endpoint": endpoint}} if endpoint else {}
    with translated(destination):
        client: Client = bigquery.Client(project, **anonymous)
    return client


def storage_client(destination: str, project: str | None, endpoint: str | None) -> StorageClient:
    """A client of Cloud Storage; anonymous when BigQuery's would be. Raises as ``bigquery_client``."""
    storage = _package("google.cloud.storage")
    credentials = _anonymous() if endpoint else None
    with translated(destination):
        client: StorageClient = storage.Client(project, credentials=credentials)
    return client


@contextmanager
def translated(destination: str, *, rows: bool = False) -> Iterator[None]:
    """Google's exceptions as ours.

    Args:
        destination: URI that was asked about.
        rows: Google sees rows, and may quote them in what it says, which stays unsaid.

    Raises:
        MissingDependencyError: The extra is not installed.
        UnavailableError: Google was not reached.
        DestinationError: It refused, or there are no credentials.
    """
    _package("google.cloud.bigquery")
    from google.api_core.exceptions import GoogleAPICallError, RetryError, ServerError, TooManyRequests
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from requests.exceptions import RequestException

    try:
        yield
    except DefaultCredentialsError as error:
        advice = "Run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
        raise DestinationError(
            destination=destination, reason="there are no Google credentials", advice=advice
        ) from error
    except (ServerError, TooManyRequests, RetryError, RequestException, GoogleAuthError) as error:
        raise UnavailableError(
            destination=destination,
            reason=f"Google cannot be reached ({type(error).__name__})",
            advice="Run the same command again: it takes up where this one ended, and loads nothing twice",
        ) from (None if rows else error)
    except GoogleAPICallError as error:
        reason = error.errors[0].get("reason", "") if error.errors else ""
        kind = f"{type(error).__name__}, {reason}; its message may quote rows"
        raise DestinationError(
            destination=destination,
            reason=f"Google refuses: {kind if rows else error.message or error}",
            advice=_ADVICE.get(reason, _ADVICE_OTHERWISE),
        ) from (None if rows else error)


def _anonymous() -> Any:  # noqa: ANN401 (no types of its own)
    from google.auth.credentials import AnonymousCredentials

    return AnonymousCredentials()  # type: ignore[no-untyped-call]


def _package(name: str) -> Any:  # noqa: ANN401 (a module)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError.of(error, name.replace(".", "-"), "bigquery") from error
