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

from dicom_bq.parts import Order, Summary, Task
from dicom_bq.reading import Reading
from dicom_bq.spill import NOWHERE, SpillFile


def main(descriptor: int) -> None:
    """Serve until the connection ends."""
    warnings.simplefilter("ignore")  # pydicom's quote values
    logging.getLogger("pydicom").addHandler(logging.NullHandler())
    try:
        _serve(Connection(descriptor))
    except (EOFError, OSError):
        os._exit(0)


def _serve(connection: Connection) -> None:
    import dicom_bq.columns.build
    import dicom_bq.scan.files  # noqa: F401 (no order waits for them)

    task: Task = connection.recv()
    orders: SimpleQueue[Order] = SimpleQueue()
    Thread(target=_receive, args=(connection, orders), daemon=True).start()
    connection.send(None)  # ready
    while True:
        connection.send(work(task, orders.get()))


def _receive(connection: Connection, orders: SimpleQueue[Order]) -> None:
    """Take orders while others are worked on; end the process at once when nobody is there to give them."""
    try:
        while True:
            orders.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def work(task: Task, order: Order) -> Summary | OSError | None:
    """Carry out an order.

    Returns:
        What the files hold; why the rows cannot be written; None after a bug, so that the files are read again
        where the bug can be told.
    """
    selection = task.selection and task.selection.fresh()
    reading = Reading(task.schema, task.options, selection=selection)
    file = SpillFile(order.descriptor)
    batches = []
    try:
        for built in reading.batch(order.uris):
            batches.append((built.schema, file.append(built.batch) if task.rows else NOWHERE))
    except OSError as error:
        return error
    except Exception:
        return None
    if reading.tally.bug:
        return None
    return Summary(reading.tally, batches, selection.met() if selection else None)
