"""A strict BigQuery for tests: REST v2 over HTTP on the loopback, with the refusals of the real one.

rules.py     what BigQuery allows, as tables, and the checks of a schema against them
parquet.py   a Parquet file's own schema as BigQuery sees it, and its columns laid into a table's schema
ndjson.py    newline-delimited JSON laid into a table's schema
catalog.py   datasets and tables, etags, patches
loading.py   load jobs: dispositions, schema updates, all or nothing
sql.py       queries and views, run by DuckDB over the stored Arrow tables
storage.py   the few Cloud Storage calls that staging makes; a bucket is a directory
server.py    HTTP: routes, uploads in chunks, faults on demand
"""

from __future__ import annotations

from tests.fake_bigquery.server import FakeBigQuery, Fault

__all__ = ["FakeBigQuery", "Fault"]
