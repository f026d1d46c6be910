"""Targets: inputs are collected into batches, and what must be true is asked of a whole batch at once.

A batch costs hardly more than a file does, which makes a thousand inputs a second possible. When a batch fails, its
inputs are tried alone, and those that fail alone are the findings; if none does, the batch is halved as long as a
half of it fails too.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicom_bq.read_options import ReadOptions
from tests.fuzz import checks
from tests.fuzz.minimise import minimised
from tests.handmade import EXPLICIT, IMPLICIT, small_file

SLOW = 1.0
"""Seconds of processor time that a small file may take at most; the machine may be busy with something else."""
ALIKE = 2
"""Findings kept of one kind."""
Check = Callable[[Sequence[str]], object]

OPTIONS: tuple[ReadOptions, ...] = (
    {},
    {},
    {"numeric_strings": "typed"},
    {"max_sequence_bytes": 100},
    {"schema_type": "json"},
    {"max_header_bytes": 10_000},
)
ORACLE_SHARE = 8
"""One file in so many is held against the oracle, which takes as long as ten others."""


def scanner(_folder: Path, _rng: random.Random) -> Check:
    """Both walkers read a batch."""
    return checks.walkers_agree


def rows(folder: Path, rng: random.Random) -> Check:
    """A batch becomes rows between good files; some are held against the oracle."""
    paths = []
    for name, data in (("good-explicit", small_file(EXPLICIT)), ("good-implicit", small_file(IMPLICIT))):
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    good = [[checks.good(str(path), options) for path in paths] for options in OPTIONS if "schema_type" not in options]
    by_options = {
        str(options): one for options, one in zip([o for o in OPTIONS if "schema_type" not in o], good, strict=True)
    }

    def check(batch: Sequence[str]) -> None:
        state = random.Random(hashlib.sha256(Path(batch[0]).read_bytes()).digest())  # the same again, when tried again
        options = state.choice(OPTIONS)
        checks.rows_hold(batch, by_options.get(str(options), ()), options)
        for path in batch:
            if len(batch) == 1 or not rng.randrange(ORACLE_SHARE):
                checks.oracle_agrees(path)

    return check


TARGETS: dict[str, tuple[Callable[[Path, random.Random], Check], int]] = {"scanner": (scanner, 64), "rows": (rows, 32)}
"""Makers of checks, and inputs in a batch."""


def kind_of(error: BaseException) -> str:
    """What makes two findings the same: the exception and the place in the product, or the law that is broken."""
    if isinstance(error, AssertionError):
        text = str(error)
        return (
            f"{type(error).__name__}: {text.split(':', maxsplit=1)[0][:120].splitlines()[0] if text else _place(error)}"
        )
    return f"{type(error).__name__} at {_place(error)}"


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "dicom_bq" in frame.filename] or [
        *traceback.extract_tb(error.__traceback__)
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].name}:{frames[-1].lineno}"


@dataclass
class Pool:
    """Inputs of a batch, as files that are written over again and again.

    Attributes:
        target: Name of it. folder: For the files. findings: Where findings are kept. rng: For choices.
        watch: Is called before each check, to notice one that never ends.
        executions: Inputs checked. kinds: Findings by kind.
    """

    target: str
    folder: Path
    findings: Path
    rng: random.Random
    watch: Callable[[], None] = lambda: None
    executions: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    held: int = 0

    def __post_init__(self) -> None:
        make, self.size = TARGETS[self.target]
        self.check = make(self.folder, self.rng)
        self.paths = [str(self.folder / f"{number:02}.dcm") for number in range(self.size)]

    def add(self, data: bytes) -> str:
        """Put an input into the batch, and check the batch when it is complete; the input's path."""
        path = self.paths[self.held]
        Path(path).write_bytes(data)
        self.held += 1
        if self.held == self.size:
            self.flush()
        return path

    def flush(self) -> None:
        """Check what is there."""
        batch, self.held = self.paths[: self.held], 0
        if batch:
            self.executions += len(batch)
            if self.failing(batch):
                self._isolate(batch)
            self.tell()

    def failing(self, batch: Sequence[str]) -> tuple[str, str] | None:
        """Kind and details of what is wrong with files read together; None if nothing is."""
        self.watch()
        started = time.process_time()
        try:
            self.check(batch)
        except Exception as error:
            return kind_of(error), traceback.format_exc()
        seconds = time.process_time() - started
        return (f"slow: more than {SLOW} s", f"{seconds:.1f} s") if seconds > SLOW else None

    def _isolate(self, batch: Sequence[str]) -> None:
        contents = [Path(path).read_bytes() for path in batch]
        alone = [(data, self.alone(data)) for data in contents]
        if not any(found for _, found in alone):
            self._together(contents)
        for data, found in alone:
            if found:
                self._keep(data, *found)

    def alone(self, data: bytes) -> tuple[str, str] | None:
        """What is wrong with one input by itself; what is slow only the first time is not."""
        path = self.folder / "alone"
        path.write_bytes(data)
        found = self.failing([str(path)])
        return self.failing([str(path)]) if found and found[0].startswith("slow") else found

    def _keep(self, data: bytes, kind: str, details: str) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] <= ALIKE:
            data = minimised(data, lambda less: (self.alone(less) or ("",))[0] == kind)
            name = f"{self.target}-{hashlib.sha256(data).hexdigest()[:12]}"
            (self.findings / f"{name}.dcm").write_bytes(data)
            (self.findings / f"{name}.txt").write_text(f"{kind}\n\n{details}")

    def _together(self, contents: list[bytes]) -> None:
        """Inputs that are wrong only in each other's company: as few of them as show it."""
        found = self._batch(contents)
        if found is None or found[0].startswith("slow"):
            return  # the machine was busy
        self.kinds[f"together: {found[0]}"] += 1
        size = len(contents)
        while size > 1:
            size = (size + 1) // 2
            for at in range(0, len(contents), size):
                less = contents[:at] + contents[at + size :]
                if less and (self._batch(less) or ("",))[0] == found[0]:
                    contents = less
                    break
            else:
                if size == 1:
                    break
        folder = self.findings / f"{self.target}-{hashlib.sha256(b''.join(contents)).hexdigest()[:12]}"
        folder.mkdir(exist_ok=True)
        for number, data in enumerate(contents):
            (folder / f"{number:02}.dcm").write_bytes(data)
        (folder / "why.txt").write_text("\n\n".join(found))

    def _batch(self, contents: Sequence[bytes]) -> tuple[str, str] | None:
        paths = [self.folder / f"together-{number:02}" for number in range(len(contents))]
        for path, data in zip(paths, contents, strict=True):
            path.write_bytes(data)
        return self.failing([str(path) for path in paths])

    def tell(self) -> None:
        """Leave what is known where another process finds it, whatever becomes of this one."""
        facts = {"executions": self.executions, "kinds": dict(self.kinds)}
        fresh = self.folder / "facts.new"
        fresh.write_text(json.dumps(facts))
        fresh.replace(self.folder / "facts.json")
