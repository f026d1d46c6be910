"""Where tables are written: Parquet, DuckDB, BigQuery."""
