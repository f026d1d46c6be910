"""Files and directories that change all at once: a reader, or the next run, sees the old one or the new one.

What is being written stands beside its target under a hidden name, and takes its place when it is complete and
on disk. A process that is killed leaves the hidden one behind, and the next run takes it away. Who may read the old one
may read the new one, and nobody else; nobody but its owner while it is written.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from dicom_bq.errors import DestinationError, shortages

_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_HERE = -100  # AT_FDCWD
_ADVICE = dict.fromkeys(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Make room and run the same command again, or choose another path"
)
_ANYBODY = 0o777  # whom the umask does not exclude
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NO_EXCHANGE = frozenset((errno.ENOSYS, errno.EINVAL, errno.ENOTSUP))


@contextlib.contextmanager
def refusals(destination: str) -> Iterator[None]:
    """Turn an operating system's error into a DestinationError that names the destination."""
    try:
        with shortages():
            yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = _ADVICE.get(error.errno or 0, "Check the path, its permissions and the free space, or choose another")
        raise DestinationError(destination=destination, reason=reason, advice=advice) from error


def check_parent(path: Path) -> None:
    """Raise unless something can be made beside a path.

    Raises:
        DestinationError: Its directory is not there, or may not be written.
    """
    parent = path.absolute().parent
    with refusals(str(path)):
        is_directory = parent.is_dir()
    if not is_directory:
        advice = "Create it, or choose another path"
        raise DestinationError(destination=str(path), reason=f"no directory {parent}", advice=advice)
    if not os.access(parent, os.W_OK | os.X_OK):
        advice = "Change its permissions, or choose another path"
        raise DestinationError(destination=str(path), reason=f"{parent} may not be written", advice=advice)


def beside(path: Path, suffix: str) -> Path:
    """A hidden neighbour of a path, on the same file system."""
    path = path.resolve()  # a link's target is what changes, not the link
    return path.with_name(f".{path.name}.{suffix}")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock on a path, which need not exist; the lock of a process that was killed is free.

    Raises:
        DestinationError: Another process holds it.
    """
    lock = beside(path, "lock")
    descriptor = _lock(lock, str(path))
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(lock: Path, destination: str) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file between our open and our lock; then lock the new one.
            if lock.exists() and lock.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            advice = "Wait for it to end, or choose another path"
            reason = "another process is writing it"
            raise DestinationError(destination=destination, reason=reason, advice=advice) from None
        os.close(descriptor)


def unheard(_identity: str) -> None:
    """What is called with an identity that nobody needs."""


def identity(path: Path) -> str:
    """What a file, or a directory of files, keeps when it is moved, and no other has; "" when there is none."""
    if path.is_dir():
        return " ".join(f"{entry.name}:{identity(entry)}" for entry in sorted(path.iterdir()))
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


@contextlib.contextmanager
def replacing_file(path: Path, ready: Callable[[str], None] = unheard) -> Iterator[Path]:
    """Yield where to write a file; it takes the place of ``path`` when the block ends without an error.

    Args:
        path: The file.
        ready: Is called with the identity of the new one right before it takes the place.
    """
    temporary = beside(path, "writing")
    temporary.unlink(missing_ok=True)
    replaced = path.stat() if path.exists() else None
    try:
        if replaced:
            temporary.touch(stat.S_IRUSR | stat.S_IWUSR)
        yield temporary
        if replaced:
            _give_access(temporary, replaced)
        _sync(temporary)
        ready(identity(temporary))
        temporary.replace(path.resolve())
        _sync(temporary.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_directory(path: Path, ready: Callable[[str], None] = unheard) -> Iterator[Path]:
    """Yield an empty directory to fill; it takes the place of ``path`` when the block ends without an error.

    Args:
        path: The directory.
        ready: As for ``replacing_file``.
    """
    path = path.resolve()
    recover_directory(path)
    temporary = beside(path, "writing")
    replaces = path.exists()
    temporary.mkdir(stat.S_IRWXU if replaces else _ANYBODY)
    try:
        yield temporary
        if replaces:
            _give_access_as_in(temporary, path)
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        ready(identity(temporary))
        _put_in_place(temporary, path)
        _sync(path.parent)
    finally:
        _remove(temporary)


def _give_access_as_in(new: Path, old: Path) -> None:
    """Let those have a directory and its files who may have another; a file that is not there as the most private."""
    found = {entry.name: entry.stat() for entry in old.iterdir()}
    most_private = min(found.values(), key=lambda status: status.st_mode & _OTHERS, default=None)
    for file in new.iterdir():
        if status := found.get(file.name, most_private):
            _give_access(file, status)
    _give_access(new, old.stat())


def _give_access(path: Path, wanted: os.stat_result) -> None:
    """Let those have a file who may have another, and nobody else: by mode and, where permitted, owner and group."""
    for owner, group in ((-1, wanted.st_gid), (wanted.st_uid, -1)):
        with contextlib.suppress(OSError):
            os.chown(path, owner, group)
    found, mode = path.stat(), stat.S_IMODE(wanted.st_mode)
    if found.st_gid != wanted.st_gid:  # another group has no right but everybody's
        mode = mode & ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)


def recover_directory(path: Path) -> None:
    """Finish or undo what a process that was killed was doing to a directory. Call it under ``exclusive``."""
    ready = beside(path, "ready")
    if ready.exists():
        _swap(ready, path.resolve())
    for suffix in ("writing", "old"):
        _remove(beside(path, suffix))


def is_interrupted(path: Path) -> bool:
    """Whether a process was killed between the two renames of a swap, so that ``recover_directory`` is due."""
    return beside(path, "ready").exists()


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.exists() or not any(path.iterdir()):
        temporary.rename(path)  # which may replace an empty directory
    elif not exchange(temporary, path):
        # From the first rename on, the new directory counts: recovery finishes the swap.
        ready = temporary.rename(beside(path, "ready"))
        _swap(ready, path)


def _swap(ready: Path, path: Path) -> None:
    old = beside(path, "old")
    if path.exists():
        path.rename(old)
    ready.rename(path)
    _remove(old)


def exchange(first: Path, second: Path) -> bool:
    """Swap two paths in one step, so that neither is ever missing.

    Returns:
        False where the operating or the file system cannot: Linux can, by renameat2(2).
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(second))


def give_name(temporary: Path, path: Path) -> None:
    """Have a file under a name that is not taken.

    Raises:
        FileExistsError: By now it is.
    """
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # no hard links there
        temporary.rename(path)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under a second name, by a hard link where the file system has them."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
