"""Worker processes: parts of the files are given out, and come back in the order that they were listed in.

A part is one batch, so what becomes of the files does not depend on how many processes read them. Rows stay in
files without a name that this process opened and all workers share; a connection carries lists of URIs one way and
summaries the other. As long as no worker is there yet, parts are handed back to be read here.

A worker that ends before its time costs nothing but time: the part that it was working on is halved and given out
again, until the one file is found that ends whoever reads it.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import wait
from typing import TypeAlias

from dicom_bq import memory
from dicom_bq.errors import FatalFileError, WorkerError
from dicom_bq.parts import Answer, Order, Part, Summary, Task
from dicom_bq.rowsfile import NO_FILE, SpillFile
from dicom_bq.spill import Spill
from dicom_bq.tally import Tally

BOOTSTRAP = "import sys; sys.path[:] = sys.argv[2:]; from dicom_bq.worker import main; main(int(sys.argv[1]))"
"""Code of a worker process; its arguments are the descriptor of its connection and the path to import from."""
Work: TypeAlias = Callable[[Task, Order], Answer]
Note: TypeAlias = Callable[[Part, Summary], None]

AHEAD, AHEAD_OF_WRITING = 2, 4
"""Parts that a worker has at a time, so that it need not wait while this process reads a part, or writes rows."""
START = 2
"""Parts that this process can read while a worker starts: from the third on, one waits for that worker."""
MOST_ENDS = 24
"""Workers that end before their time while no part gets done. Halving a part of 1,000 files ends 11 of them."""


class Worker:
    """One process, and the parts that it has to do.

    Attributes:
        parts: In the order that they are done in.
        connection: To the process.
        ready: Whether it has started.

    Args:
        task: What all parts are read for.
        files: What it may write to.

    Raises:
        OSError: There can be no more processes.
    """

    def __init__(self, task: Task, files: Sequence[SpillFile]) -> None:
        self.parts: deque[Part] = deque()
        self.ready = False
        if not sys.executable:
            message = "this Python does not know where it is"
            raise OSError(message)
        self.connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (this Python, and code of ours)
                [sys.executable, "-c", BOOTSTRAP, str(theirs.fileno()), *map(str, sys.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | memory.ENVIRONMENT,
                pass_fds=[theirs.fileno(), *(file.descriptor for file in files)],
                process_group=0,  # Ctrl-C is for this process alone, which then stops the others
            )
        self._send(task)

    def give(self, part: Part, file: SpillFile) -> None:
        """Let it do one part more."""
        part.file = file
        self.parts.append(part)
        self._send(Order(part.uris, file.descriptor, part.members))

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it has ended, which is noticed when it is listened to
            self.connection.send(message)

    def stop(self) -> str:
        """End it if it has not ended; says how it did."""
        self.connection.close()
        self._process.kill()
        status = self._process.wait()
        return f"signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"exit code {status}"


class Workers:
    """The processes of one pass over files: this one and its workers, which are started when they can be of use.

    Args:
        task: What is to be done.
        count: Processes.
        spill: Where rows are left; None when they are not wanted.
        work: Does a part in this process.
        note: Is told of each part as it gets done, in whatever order.
    """

    def __init__(self, task: Task, count: int, spill: Spill | None, work: Work, note: Note | None = None) -> None:
        self._task, self._spill, self._work, self._note = task, spill, work, note
        self._reuse = spill is not None and spill.reuse
        self._ahead = AHEAD_OF_WRITING if self._reuse else AHEAD
        self._most_workers, self._most_parts = count - 1, count * (self._ahead + 1)
        self._workers: list[Worker] = []
        self._files: list[SpillFile] = []
        self._free: list[SpillFile] = [] if spill else [NO_FILE] * self._most_parts
        self._parts: list[Part] = []
        self._ends = 0

    def run(self, parts: Iterator[Part]) -> Generator[Part]:
        """Parts in the order given, each with what is in it, or else to be read by the caller.

        Args:
            parts: Are taken when there is somebody to do them.

        Raises:
            DestinationError: Rows cannot be written.
            WorkerError: Workers keep ending.
        """
        try:
            while self._list(parts):
                self._start()
                self._listen(0)
                self._give()
                first, mine = self._parts[0], self._for_here()
                if first.done or first is mine or not first.uris:
                    del self._parts[0]
                    yield first
                    self._forget(first)
                elif mine and self._free:
                    mine.file = self._free.pop()
                    order = Order(mine.uris, mine.file.descriptor, mine.members)
                    self._answer(mine, self._work(self._task, order))
                elif self._workers:
                    self._listen(None)
        finally:
            for worker in self._workers:
                worker.stop()

    def _list(self, parts: Iterator[Part]) -> bool:
        """Have a part for this process and for whatever worker can take one; whether there is any part left."""
        wanted = 1 + self._most_workers * self._ahead - sum(len(worker.parts) for worker in self._workers)
        wanted -= sum(1 for _ in self._waiting())
        for part in itertools.islice(parts, max(0, min(wanted, self._most_parts - len(self._parts)))):
            self._parts.append(part)
        return bool(self._parts)

    def _waiting(self) -> Iterator[Part]:
        return (part for part in self._parts if part.uris and part.file is None and not part.done)

    def _for_here(self) -> Part | None:
        """What this process can do, when there is nothing better; not what has ended another."""
        return next((part for part in self._waiting() if not part.suspect or not self._most_workers), None)

    def _start(self) -> None:
        """Start workers, so many that each has a part and this process as well."""
        parts = [part for part in self._parts if part.uris and not part.done]
        wanted = len(parts) - (not any(part.suspect for part in parts))
        if wanted > 0 and self._spill and not self._files:
            self._files = [self._spill.file() for _ in range(self._most_parts)]
            self._free = self._files.copy()
        while len(self._workers) < min(self._most_workers, wanted):
            try:
                self._workers.append(Worker(self._task, self._files))
            except OSError:  # no more processes here, at least for the time being: fewer will do
                self._most_workers = len(self._workers)

    def _give(self) -> None:
        """Let workers do parts; not the last there is if they all have some, as this process has none now."""
        waiting = list(self._waiting())
        for left, part in zip(range(len(waiting), 0, -1), waiting, strict=True):
            able = [worker for worker in self._workers if worker.ready and len(worker.parts) < self._ahead]
            worker = min(able, key=lambda worker: len(worker.parts), default=None)
            if worker is None or not self._free or (left == 1 and worker.parts and not part.suspect):
                break
            worker.give(part, self._free.pop())
        self._prepare()

    def _prepare(self) -> None:
        """Have one part wait for each worker that starts, behind those that this process can read meanwhile."""
        starting = [worker for worker in self._workers if not worker.ready and not worker.parts]
        for worker, part in zip(starting, list(self._waiting())[START:], strict=False):
            if self._free:
                worker.give(part, self._free.pop())

    def _listen(self, timeout: float | None) -> None:
        """Take what workers have to say, or wait for it."""
        for connection in wait([worker.connection for worker in self._workers], timeout):
            worker = next(worker for worker in self._workers if worker.connection is connection)
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._bury(worker)
            else:
                self._hear(worker, message)

    def _hear(self, worker: Worker, message: Answer) -> None:
        if not worker.ready:
            worker.ready = True
            return
        self._ends = 0
        self._answer(worker.parts.popleft(), message)

    def _answer(self, part: Part, answer: Answer) -> None:
        if isinstance(answer, OSError) and self._spill:
            with self._spill.refusals():
                raise answer
        summary = answer if isinstance(answer, Summary) else None  # without one it is read again, by the caller
        part.summary, part.done = summary, True
        if self._note and summary:
            self._note(part, summary)
        if not self._reuse:
            self._release(part)

    def _forget(self, part: Part) -> None:
        """The caller has taken its rows."""
        if self._reuse:
            self._release(part)

    def _release(self, part: Part) -> None:
        """Let another part have its file."""
        if isinstance(part.file, SpillFile):
            if self._reuse:
                part.file.clear()
            self._free.append(part.file)

    def _bury(self, worker: Worker) -> None:
        """Give the parts of a worker that has ended to others."""
        self._workers.remove(worker)
        how = worker.stop()
        self._ends += 1
        if self._ends > MOST_ENDS:
            raise WorkerError(how=how, ended=self._ends)
        for part in worker.parts:
            self._release(part)
            part.file = None
        if worker.parts and worker.ready:  # one that has not started has not read anything
            self._suspect(worker.parts[0], how)

    def _suspect(self, part: Part, how: str) -> None:
        """Halve a part that a worker ended over; a single file fails."""
        if len(part.uris) == 1:
            part.done, part.summary = True, Summary(Tally())
            part.summary.tally.fatal(part.uris[0], FatalFileError(how=how, ended=1))
            return
        place = self._parts.index(part)
        self._parts[place : place + 1] = part.halves()
