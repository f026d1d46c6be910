"""``python -m dicom_bq``."""

from __future__ import annotations

import sys

from dicom_bq.cli import main

if __name__ == "__main__":
    sys.exit(main())
