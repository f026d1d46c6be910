"""Queries and views, run by DuckDB over the stored Arrow tables.

Only the SQL that both dialects share, after backticks become quotes; it is no test of BigQuery's grammar.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb
import pyarrow as pa

from tests.fake_bigquery.catalog import Catalog
from tests.fake_bigquery.rules import Field, RefusedError

FROM_ARROW = (
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_decimal, "NUMERIC"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_time, "TIME"),
    (pa.types.is_timestamp, "TIMESTAMP"),
    (pa.types.is_binary, "BYTES"),
    (lambda _: True, "STRING"),
)


def translate(sql: str) -> str:
    """BigQuery's quoting and EXCEPT in DuckDB's words."""
    quoted = re.sub(r"`([^`]+)`", lambda match: f'"{match[1].replace(":", ".")}"', sql)
    return re.sub(r"\*\s+EXCEPT\b", "* EXCLUDE", quoted)


def run_query(catalog: Catalog, sql: str) -> tuple[list[Field], pa.Table]:
    """The fields and rows of a query over the tables and views of ``catalog``."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        views = []
        for path, table in catalog.tables.items():
            if "view" in table.resource:
                views.append((".".join(path), table.resource["view"]["query"]))
            else:
                connection.register(".".join(path), table.rows)
        try:
            for name, query in views:
                connection.execute(f'CREATE VIEW "{name}" AS {translate(query)}')
            rows = connection.sql(translate(sql)).to_arrow_table()
        except duckdb.Error as error:
            raise RefusedError(reason="invalidQuery", message=str(error)) from error
    return [_field(column) for column in rows.schema], rows


def _field(column: pa.Field) -> dict[str, Any]:
    kind, mode = column.type, "NULLABLE"
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    if pa.types.is_struct(kind):
        return {
            "name": column.name,
            "type": "RECORD",
            "mode": mode,
            "fields": [_field(child) for child in kind],
        }
    return {"name": column.name, "type": next(name for test, name in FROM_ARROW if test(kind)), "mode": mode}
