"""dicom-bq."""
