"""Archives of small files, well made and not."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Contents = Mapping[str, bytes] | Iterable[tuple[str, bytes]]


def pairs(contents: Contents) -> list[tuple[str, bytes]]:
    return list(contents.items()) if isinstance(contents, Mapping) else list(contents)


def make_zip(contents: Contents, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in pairs(contents):
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def make_stored_zip(contents: Contents) -> bytes:
    return make_zip(contents, zipfile.ZIP_STORED)


def tar_info(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def make_tar(contents: Contents, form: int = tarfile.PAX_FORMAT, extra: Iterable[tarfile.TarInfo] = ()) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in pairs(contents):
            archive.addfile(tar_info(name, size=len(content)), io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return file.getvalue()


def make_tar_gz(contents: Contents) -> bytes:
    return gzip.compress(make_tar(contents), mtime=0)


MAKERS: Mapping[str, Callable[[Contents], bytes]] = {
    "deflated.zip": make_zip,
    "stored.ZIP": make_stored_zip,
    "a.tar": make_tar,
    "a.tar.gz": make_tar_gz,
    "a.TGZ": make_tar_gz,
}
"""By the name of an archive."""


def plant(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def patched(archive: bytes, signature: bytes, offset: int, form: str, value: int) -> bytes:
    """A zip with one field of its first record of a kind changed."""
    changed = bytearray(archive)
    struct.pack_into(form, changed, archive.index(signature) + offset, value)
    return bytes(changed)
