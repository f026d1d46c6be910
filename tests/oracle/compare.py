"""Comparing a row of the product with a row of the oracle."""

from __future__ import annotations

import math
from collections.abc import Iterator

MISSING = object()


def prune(value: object) -> object:
    """A row without what means "nothing here": None, empty lists, structs that hold nothing.

    The items of a list stay as they are many, also the empty ones: their number and order is data.
    """
    if isinstance(value, dict):
        pruned = {name: prune(inner) for name, inner in value.items()}
        return {name: inner for name, inner in pruned.items() if inner is not None and inner not in ([], {})}
    if isinstance(value, list):
        return [prune(inner) for inner in value]
    return value


def differences(product_row: object, oracle_row: object, *, show_values: bool = False) -> list[str]:
    """One line for each place where two rows differ: its path and the kinds found, no values unless asked."""
    return list(_differences("", prune(product_row), prune(oracle_row), show_values=show_values))


def _differences(path: str, product: object, oracle: object, *, show_values: bool) -> Iterator[str]:
    if isinstance(product, dict) and isinstance(oracle, dict):
        for name in sorted({*product, *oracle}):
            inner = f"{path}.{name}" if path else name
            left, right = product.get(name, MISSING), oracle.get(name, MISSING)
            yield from _differences(inner, left, right, show_values=show_values)
    elif isinstance(product, list) and isinstance(oracle, list) and len(product) == len(oracle):
        for number, (left, right) in enumerate(zip(product, oracle, strict=True)):
            yield from _differences(f"{path}[{number}]", left, right, show_values=show_values)
    elif not _same(product, oracle):
        shown = repr if show_values else _kind
        yield f"{path}: product {shown(product)}, oracle {shown(oracle)}"


def _same(product: object, oracle: object) -> bool:
    if isinstance(product, float) and isinstance(oracle, float) and math.isnan(product):
        return math.isnan(oracle)
    return type(product) is type(oracle) and product == oracle


def _kind(value: object) -> str:
    """What a value is, without saying it."""
    if value is MISSING:
        return "nothing"
    size = f" of {len(value)}" if isinstance(value, str | list | dict) else ""
    return f"{type(value).__name__}{size}"
