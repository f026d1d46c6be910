"""Where the product's time goes: functions of the pipeline wrapped in timers, each without those it calls.

CPU time, so that other processes do not show. A timer costs about 0.6 us a call: whatever is called once an
element is not wrapped.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.contenders import load
from benchmarks.harness import Settings

SETS = {False: ("typical", "charsets", "private", "wide", "multiframe"), True: ("typical",)}
# Stage, and the functions that are it: the name by which the caller knows each, so that a wrapper is met.
STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("open, read, close", ("dicom_bq.scan.rounds:read_heads",)),
    ("meta information", ("dicom_bq.scan.rounds:find_data_sets",)),
    ("candidates, chain of lanes", ("dicom_bq.scan.rounds:walk_lockstep", "dicom_bq.scan.lockstep:_reach")),
    ("lanes", ("dicom_bq.scan.lockstep:advance",)),
    ("tokens", ("dicom_bq.scan.lockstep:_tokens",)),
    ("brackets", ("dicom_bq.scan.verdicts:nest",)),
    ("verdict, table", ("dicom_bq.scan.lockstep:judge",)),
    ("scalar walker", ("dicom_bq.scan.files:scan_file",)),
    ("merge", ("dicom_bq.scan.files:merge",)),
    ("scan: rest", ("dicom_bq.scan.files:scan_files", "dicom_bq.scan.files:normalise")),
    ("VRs", ("dicom_bq.scan.normalise:resolve", "dicom_bq.scan.normalise:resolve_us_or_ss")),
    ("UN as sequences", ("dicom_bq.scan.normalise:expand",)),
    ("character sets", ("dicom_bq.scan.normalise:to_utf8",)),
    ("facts of tags", ("dicom_bq.columns.build:tag_facts",)),
    ("trim texts", ("dicom_bq.columns.build:read_texts",)),
    ("paths", ("dicom_bq.columns.build:find_paths",)),
    ("decode: sort and rest", ("dicom_bq.columns.build:decode_leaves",)),
    ("decode: text", ("dicom_bq.columns.decode:_text", "dicom_bq.columns.decode:_components")),
    ("decode: names", ("dicom_bq.columns.decode:decode_names",)),
    (
        "decode: dates and times",
        (
            "dicom_bq.columns.decode:decode_dates",
            "dicom_bq.columns.decode:decode_times",
            "dicom_bq.columns.decode:decode_date_times",
        ),
    ),
    ("decode: numbers", ("dicom_bq.columns.decode:decode_numbers",)),
    ("nesting", ("dicom_bq.columns.build:settle_sequences", "dicom_bq.columns.build:nest")),
    ("OtherElements", ("dicom_bq.columns.build:_other", "dicom_bq.columns.build:raw_texts")),
    ("DroppedTags", ("dicom_bq.columns.build:_dropped",)),
    ("schema", ("dicom_bq.columns.build:TableSchema.from_paths", "dicom_bq.schema:TableSchema.to_arrow")),
    ("assemble", ("dicom_bq.columns.build:Assembly.columns",)),
    ("account of problems", ("dicom_bq.columns.build:count_problems",)),
    ("build: rest", ("dicom_bq.columns.build:build",)),
)


class Stopwatch:
    """Seconds by stage; the time of a stage that another calls is only the inner one's."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @functools.wraps(function)
        def timed(*arguments: object, **keywords: object) -> object:
            self._inner.append(0.0)
            started = time.process_time()
            try:
                return function(*arguments, **keywords)
            finally:
                taken = time.process_time() - started
                self.seconds[stage] += taken - self._inner.pop()
                self._inner[-1] += taken

        return timed


@contextmanager
def watched() -> Iterator[Stopwatch]:
    """The pipeline with its timers in place.

    Raises:
        AttributeError: a function of `STAGES` is not there any more.
    """
    watch, undo = Stopwatch(), []
    for stage, targets in STAGES:
        for target in targets:
            owner, name = _owner(target)
            original = vars(owner)[name]
            undo.append((owner, name, original))
            wrapped = watch.wrap(stage, original.__func__ if isinstance(original, classmethod) else original)
            setattr(owner, name, classmethod(wrapped) if isinstance(original, classmethod) else wrapped)
    try:
        yield watch
    finally:
        for owner, name, original in undo:
            setattr(owner, name, original)


def _owner(target: str) -> tuple[Any, str]:
    """Module or class that holds the function, and its name there."""
    module, _, path = target.partition(":")
    *classes, name = path.split(".")
    return functools.reduce(getattr, classes, importlib.import_module(module)), name


def measure(settings: Settings) -> list[dict[str, Any]]:
    """Microseconds a file of each stage, for each set of files."""
    return [
        {"set": name, **result}
        for name in SETS[settings.quick]
        for result in _of_set(settings.obtain(name).paths, 3 if settings.quick else 5)
    ]


def _of_set(paths: Sequence[str], repeats: int) -> list[dict[str, Any]]:
    """Medians of `repeats` runs after one that is not counted."""
    contender = load("product_batches")
    contender.prepare({})
    contender.run(paths)
    runs = []
    for _ in range(repeats):
        with watched() as watch:
            contender.run(paths)
        runs.append(watch.seconds)
    scale = 1e6 / len(paths)
    return [
        {"stage": stage, "us_per_file": median(run[stage] for run in runs) * scale, "problems": []}
        for stage, _ in STAGES
    ]
