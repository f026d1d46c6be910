"""What the rows must be: the digests of the tests' oracle, which shares no code with the product."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.content import KEY, row_digest
from benchmarks.corpus import Corpus

ORACLE = Path(__file__).parents[1] / "tests" / "oracle"


def digests(corpus: Corpus, files: int, cache: Path) -> Mapping[str, str]:
    """Digest by SOP Instance UID of about `files` files, evenly spread; none where the oracle is not at hand.

    The oracle takes milliseconds a file, so its answers are kept beside the corpus, for this oracle only.
    """
    if not ORACLE.is_dir():
        return {}
    step = max(1, len(corpus.paths) // max(1, files))
    sample = corpus.paths[::step]
    kept = cache / f"oracle-{_source_digest()}-{corpus.facts['sha256']}-{len(sample)}.json"
    if not kept.exists():
        kept.write_text(json.dumps(_convert(sample)))
    return json.loads(kept.read_text())  # type: ignore[no-any-return]


def _source_digest() -> str:
    made = hashlib.sha256()
    for file in (*sorted(ORACLE.glob("*.py")), Path(__file__).with_name("content.py")):
        made.update(file.read_bytes())
    return made.hexdigest()[:16]


def _convert(paths: tuple[str, ...]) -> dict[str, str]:
    oracle: Any = importlib.import_module("tests.oracle")
    made = {}
    for path in paths:
        try:
            row = oracle.convert(path).row
        except oracle.OracleCannotRead:
            continue
        made[str(row.get(KEY))] = row_digest(row)
    return made
