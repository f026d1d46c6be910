"""The rules of the mapping as reviewed data: what each value representation of DICOM becomes in a table.

Two TOML tables (``vr.toml``, ``not_data.toml``) and a small frozen model. Standard library only; ships beside
``dicom_bq`` and can be used without it:

    >>> import vr_rules
    >>> vr_rules.load().vr["DA"].bigquery
    'DATE'
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from vr_rules.model import Family, NotDataRule, RuleError, RuleSet, VRRule
from vr_rules.reading import NOT_DATA_FILE, VR_FILE, parse_rules

__all__ = ["Family", "NotDataRule", "RuleError", "RuleSet", "VRRule", "load", "parse_rules"]


@cache
def load() -> RuleSet:
    """The rules that ship with this package, read and validated once a process.

    Raises:
        RuleError: A row was edited into something that cannot be used.
    """
    package = files(__package__)
    return parse_rules(
        package.joinpath(VR_FILE).read_text(encoding="utf-8"),
        package.joinpath(NOT_DATA_FILE).read_text(encoding="utf-8"),
    )
