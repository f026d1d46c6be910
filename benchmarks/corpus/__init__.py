"""The seeded corpus: written once to a cache directory, the same bytes for the same seed, files and version.

>>> corpus = obtain("typical", files=400)           # doctest: +SKIP
>>> corpus.paths[0], corpus.facts["mean_elements"]  # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.corpus.encoding import JPEG_LOSSLESS, Element, encode, meta_information, part10, pixel_data
from benchmarks.corpus.kinds import Instance
from benchmarks.corpus.sets import SETS, CorpusSet

VERSION = 2  # raise it with every change of the bytes written
SEED = 20240229
META_ELEMENTS = 5


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files on disk, in path order, and what is in them."""

    name: str
    root: Path
    paths: tuple[str, ...]
    facts: dict[str, object]

    def shuffled(self, seed: int = SEED) -> tuple[str, ...]:
        """The same paths with the series mixed, in an order that the seed decides."""
        paths = list(self.paths)
        Random(seed).shuffle(paths)
        return tuple(paths)


def default_cache() -> Path:
    """Where corpora are kept unless told otherwise."""
    return Path(tempfile.gettempdir()) / "dicom-bq-benchmarks"


def obtain(name: str, files: int, cache: Path | None = None, seed: int = SEED) -> Corpus:
    """The corpus `name` with about `files` files, written if the cache does not have it.

    Raises:
        KeyError: no such set; `SETS` has the names.
    """
    root = (cache or default_cache()) / f"v{VERSION}-seed{seed}-{name}-{files}"
    facts = root.with_name(f"{root.name}.json")  # beside: the directory holds nothing but files of the corpus
    if not facts.exists():
        facts.write_text(json.dumps(_write(SETS[name], root, files, seed)))
    manifest = json.loads(facts.read_text())
    paths = tuple(str(root / path) for path in manifest.pop("paths"))
    return Corpus(name, root, paths, {"set": name, "seed": seed, "version": VERSION, **manifest})


def _write(corpus_set: CorpusSet, root: Path, files: int, seed: int) -> dict[str, object]:
    """Writes beside, then renames: a half-written corpus is never found. Returns the facts."""
    root.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f"{root.name}.", dir=root.parent))
    random = Random(seed)
    noise = Random(seed).randbytes(max(corpus_set.pixel_bytes, 1))
    facts = Facts()
    for position, (name, instance) in enumerate(corpus_set.instances(random, files)):
        content = file_bytes(instance, corpus_set, noise)
        if corpus_set.rewrite is not None:
            content = corpus_set.rewrite(position, content)
        header = len(content) - (corpus_set.pixel_bytes if instance.pixels else 0)
        facts.add(f"{name}.dcm", content, instance, header)
        target = beside / f"{name}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    shutil.rmtree(root, ignore_errors=True)
    beside.rename(root)
    return facts.summary()


def file_bytes(instance: Instance, corpus_set: CorpusSet, noise: bytes) -> bytes:
    """The whole file of one instance."""
    uid = JPEG_LOSSLESS if corpus_set.fragments and instance.pixels else instance.syntax.uid
    meta = meta_information(instance.class_uid, instance.instance_uid, uid)
    body = encode(instance.elements, instance.syntax)
    if instance.pixels and corpus_set.pixel_bytes:
        body += pixel_data(corpus_set.pixel_bytes, instance.syntax, noise, corpus_set.fragments)
    if instance.padded:
        body += encode([Element(0xFFFCFFFC, b"OB", bytes(64))], instance.syntax)
    return part10(meta, body)


class Facts:
    """Counts what is written, so that a figure can be judged by its input."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.counts: Counter[str] = Counter()
        self.layouts: set[int] = set()
        self.digest = hashlib.sha256()

    def add(self, path: str, content: bytes, instance: Instance, header_bytes: int) -> None:
        """Counts one file; its meta information is five elements that are exported."""
        self.paths.append(path)
        self.digest.update(content)
        self.counts["bytes"] += len(content)
        self.counts["header_bytes"] += header_bytes
        self.counts["elements"] += META_ELEMENTS
        self.layouts.add(hash(tuple(self._walk(instance.elements))))

    def _walk(self, elements: Iterable[Element]) -> Iterable[tuple[int, bytes]]:
        """Tag and VR of every element at any depth, counting them on the way."""
        for element in elements:
            self.counts["elements"] += 1
            self.counts["private_elements"] += element.tag >> 16 & 1
            yield element.tag, element.vr
            if isinstance(element.value, tuple):
                self.counts["sequences"] += 1
                self.counts["items"] += len(element.value)
                for item in element.value:
                    yield from self._walk(item)

    def summary(self) -> dict[str, object]:
        """Paths and means, as JSON keeps them."""
        files = max(len(self.paths), 1)
        means = {f"mean_{name}": round(count / files, 2) for name, count in sorted(self.counts.items())}
        return {
            "files": len(self.paths),
            **means,
            "distinct_layouts": len(self.layouts),
            "sha256": self.digest.hexdigest(),
            "paths": sorted(self.paths),
        }
