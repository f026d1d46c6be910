"""The few Cloud Storage calls that staging makes; a bucket is a directory. JSON API v1."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from tests.fake_bigquery.rules import refuse_unless


@dataclass(frozen=True)
class Storage:
    """Objects under ``root``/BUCKET/OBJECT."""

    root: Path

    def find(self, uri: str) -> list[Path]:
        """Files of a gs:// URI, which may hold one ``*``."""
        refuse_unless(uri.startswith("gs://"), f"Invalid source URI: {uri}")
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        folder = self.root / bucket
        if "*" not in name:
            refuse_unless((folder / name).is_file(), f"Not found: URI {uri}", "notFound")
            return [folder / name]
        start, _, end = name.partition("*")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = {path: path.relative_to(folder).as_posix() for path in files}
        return [path for path, name in names.items() if name.startswith(start) and name.endswith(end)]

    def get_bucket(self, bucket: str) -> dict[str, Any]:
        refuse_unless((self.root / bucket).is_dir(), f"The bucket {bucket} does not exist", "notFound")
        return {"kind": "storage#bucket", "name": bucket}

    def upload(self, bucket: str, name: str, data: Path, match_generation: str | None) -> dict[str, Any]:
        self.get_bucket(bucket)
        target = self.root / bucket / name
        conflict = match_generation == "0" and target.exists()
        refuse_unless(not conflict, "At least one of the pre-conditions did not hold", "conditionNotMet")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data, target)
        return self.get(bucket, name)

    def get(self, bucket: str, name: str) -> dict[str, Any]:
        data = self.read(bucket, name)
        checksum = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/1",
            "bucket": bucket,
            "name": name,
            "generation": "1",
            "size": str(len(data)),
            "crc32c": checksum,
        }

    def read(self, bucket: str, name: str) -> bytes:
        path = self.root / bucket / name
        refuse_unless(path.is_file(), f"No such object: {bucket}/{name}", "notFound")
        return path.read_bytes()

    def list(self, bucket: str, prefix: str) -> dict[str, Any]:
        folder = self.root / bucket
        refuse_unless(folder.is_dir(), f"The bucket {bucket} does not exist", "notFound")
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return {
            "kind": "storage#objects",
            "items": [self.get(bucket, name) for name in names if name.startswith(prefix)],
        }

    def delete(self, bucket: str, name: str) -> None:
        self.read(bucket, name)
        (self.root / bucket / name).unlink()
