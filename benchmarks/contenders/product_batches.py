"""dicom-bq from paths to Arrow record batches: scan and columns, no destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contenders import Outcome

TITLE = "**dicom-bq**, to Arrow record batches"
_batch_size = 1000
_lockstep = True


def prepare(options: Mapping[str, object]) -> None:
    """Imports, and the files a batch from the options."""
    import dicom_bq.columns.build
    import dicom_bq.reading
    import dicom_bq.scan.files

    global _batch_size, _lockstep  # noqa: PLW0603
    _lockstep = options.get("walker") != "scalar"
    _batch_size = int(str(options.get("batch_size", dicom_bq.reading.BATCH_SIZE)))


def run(paths: Sequence[str]) -> Outcome:
    """Scans and builds batch after batch, and keeps them, as a program would that goes on with them."""
    from dicom_bq.columns.build import BuildOptions, build
    from dicom_bq.scan.files import scan_files
    from dicom_bq.scan.outcome import ScanOptions

    batches, failed, scalar = [], 0, 0
    for start in range(0, len(paths), _batch_size):
        scanned = scan_files(paths[start : start + _batch_size], ScanOptions(lockstep=_lockstep))
        failed += len(scanned.failures) + len(scanned.skipped)
        scalar += scanned.scalar
        batches.append(build(scanned.table, None, BuildOptions()).batch)
    rows = sum(batch.num_rows for batch in batches)
    return Outcome(rows, batches, {"failed": failed, "batches": len(batches), "scalar": scalar})
