"""The script for a real project, asked of the fake: every expectation in it is one that the fake meets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.fake_bigquery import FakeBigQuery

SCRIPT = Path(__file__).parent / "live" / "bigquery_smoke.py"


def test_the_fake_does_what_is_expected_of_bigquery(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_bucket("stage")
        more = ["--staging", "gs://stage/x", "--policy-tag", "projects/p/locations/us/taxonomies/1/policyTags/2"]
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "p1", "--api-endpoint", fake.url, *more],
            capture_output=True,
            text=True,
            env={**environment, "STORAGE_EMULATOR_HOST": fake.url},
            check=False,
            timeout=120,
        )
        left = fake.catalog.datasets
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as expected  ") == 19
    assert left == {}
    assert fake.bugs == []
