"""DICOM metadata as typed, nested tables, with the schema of the Healthcare API's BigQuery export.

Everything here is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import collections.abc
    import inspect

    from dicom_bq.destinations.base import WriteDisposition as WriteDisposition
    from dicom_bq.errors import DicomBqError as DicomBqError
    from dicom_bq.job import UnreadableWarning as UnreadableWarning
    from dicom_bq.job import export as export
    from dicom_bq.job import infer_schema as infer_schema
    from dicom_bq.job import scan as scan
    from dicom_bq.job import to_arrow as to_arrow
    from dicom_bq.read_options import ReadOptions as ReadOptions
    from dicom_bq.report import ExportReport as ExportReport
    from dicom_bq.report import ReadReport as ReadReport
    from dicom_bq.schema import Column as Column
    from dicom_bq.schema import TableSchema as TableSchema
    from dicom_bq.schema import schema_from_keywords as schema_from_keywords
    from dicom_bq.stream import InstanceStream as InstanceStream

_HOMES = {
    "Column": "schema",
    "DicomBqError": "errors",
    "ExportReport": "report",
    "InstanceStream": "stream",
    "ReadOptions": "read_options",
    "ReadReport": "report",
    "TableSchema": "schema",
    "UnreadableWarning": "job",
    "WriteDisposition": "destinations.base",
    "export": "job",
    "infer_schema": "job",
    "scan": "job",
    "schema_from_keywords": "schema",
    "to_arrow": "job",
}

__all__ = [
    "Column",
    "DicomBqError",
    "ExportReport",
    "InstanceStream",
    "ReadOptions",
    "ReadReport",
    "TableSchema",
    "UnreadableWarning",
    "WriteDisposition",
    "export",
    "infer_schema",
    "scan",
    "schema_from_keywords",
    "to_arrow",
]


class _ScanPackage(ModuleType):
    """The package ``dicom_bq.scan``, which Python puts where the function of that name is expected.

    It looks like the function where functions are looked at, which loads that, and is pickled as what it is.
    """

    def __call__(self, *arguments: Any, **options: Any) -> InstanceStream:  # noqa: ANN401 (passed on)
        return self.__wrapped__(*arguments, **options)

    def __reduce__(self) -> tuple[collections.abc.Callable[[str], ModuleType], tuple[str]]:
        return importlib.import_module, (self.__name__,)

    @property
    def __wrapped__(self) -> collections.abc.Callable[..., InstanceStream]:
        from dicom_bq.job import scan

        return scan

    @property
    def __signature__(self) -> inspect.Signature:
        from inspect import signature

        return signature(self.__wrapped__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__wrapped__.__doc__


importlib.import_module(f"{__name__}.scan")
sys.modules[f"{__name__}.scan"].__class__ = _ScanPackage


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dicom-bq")
    except PackageNotFoundError:  # run from a checkout that nothing installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted((*__all__, "__version__"))
