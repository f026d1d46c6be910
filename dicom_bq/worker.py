"""What a worker process does: it reads one part of the files after the other, and leaves their rows on disk.

Nothing but lists of URIs comes to a worker, and nothing but summaries leaves it. It ends when the process that
started it closes the connection or ends, in whatever way.
"""

from __future__ import annotations

import logging
import os
import warnings
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread

from dicom_bq import memory
from dicom_bq.parts import Order, Task
from dicom_bq.reading import work

BUG = 70
"""Exit code, as the program's own; sysexits.h's EX_SOFTWARE."""


def main(descriptor: int) -> None:
    """Serve until the connection ends."""
    memory.do_without()
    warnings.simplefilter("ignore")  # pydicom's quote values
    logging.getLogger("pydicom").addHandler(logging.NullHandler())
    try:
        _serve(Connection(descriptor))
    except (EOFError, OSError):
        os._exit(0)
    except Exception:  # its text may quote a file; whoever gave the order notices
        os._exit(BUG)


def _serve(connection: Connection) -> None:
    import dicom_bq.columns.build
    import dicom_bq.scan.files  # noqa: F401 (no order waits for them)

    connection.send(None)  # ready
    task: Task = connection.recv()
    orders: SimpleQueue[Order] = SimpleQueue()
    Thread(target=_receive, args=(connection, orders), daemon=True).start()
    while True:
        connection.send(work(task, orders.get()))


def _receive(connection: Connection, orders: SimpleQueue[Order]) -> None:
    """Take orders while others are worked on; end the process at once when nobody is there to give them."""
    try:
        while True:
            orders.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)
    finally:  # without memory for an order, say: who waits for it would wait for ever
        os._exit(BUG)
