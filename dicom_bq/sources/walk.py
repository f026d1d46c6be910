"""Directories and archives, walked depth first in the order of URIs, each file once."""

from __future__ import annotations

import heapq
import operator
import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from dicom_bq.errors import UsageError
from dicom_bq.jobfiles import is_job
from dicom_bq.sources.archives import Archives, kind_of, suffix_kind
from dicom_bq.sources.members import SEPARATOR, Member
from dicom_bq.sources.names import printable
from dicom_bq.sources.patterns import EVERYTHING, Names
from dicom_bq.sources.runs import in_order
from dicom_bq.sources.trees import Archive, Tree, above

Unreadable: TypeAlias = Callable[[str, str], None]
"""Called with the URI and the reason of each thing that was met and is no readable file or directory."""
Found: TypeAlias = tuple[str, Member | None]
"""URI of a file, and where it is if it is a member of an archive."""
BESIDE_A_DIRECTORY = "an archive that is not opened: beside it is a directory with the name that its members have"


class _Directory(Enum):
    DIRECTORY = "to be entered"


class _Step(NamedTuple):
    """Something in a directory or an archive.

    Attributes:
        inside: Path relative to the tree.
        real: Path without links; a directory's ends in /, an archive's in !/.
        what: None for a file; a member; a directory or an archive to be entered; why it cannot be read.
        linked: It is itself a link that is followed.
    """

    inside: str
    real: str
    what: Member | Archive | _Directory | str | None
    linked: bool = False


@dataclass(slots=True)
class Listing:
    """One expansion: its trees, and where links have led so far.

    Attributes:
        trees: None is for nothing that another is for as well.
        exclude: Real paths that are never entered nor listed.
        unreadable: Is told of what cannot be read.
        archives: How archives are read.
        alone: Real paths of files that are listed besides.
        followed: Where links have led.
    """

    trees: list[Tree]
    exclude: frozenset[str]
    unreadable: Unreadable
    archives: Archives
    alone: Container[str] = ()
    followed: set[str] = field(default_factory=set)
    _whole: frozenset[str] = field(init=False)
    _patterns: dict[str, list[Tree]] = field(init=False)
    _seen: set[str] = field(default_factory=set)
    _unlisted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._whole = frozenset(tree.real for tree in self.trees if tree.pattern is EVERYTHING)
        self._patterns = {}
        for tree in self.trees:
            if tree.pattern is not EVERYTHING:
                self._patterns.setdefault(tree.real, []).append(tree)

    def reaches(self, real: str, *, member: bool = False) -> bool:
        """Whether a real path (a directory's ends in /) is listed without following the link at hand."""
        return (
            real in self._whole
            or real in self.followed
            or real in self._seen
            or real in self.alone
            or (
                bool(self._whole or self.followed)
                and any(parent in self._whole or parent in self.followed for parent in above(real))
            )
            or self._is_covered(real, member=member)
        )

    def _is_covered(self, real: str, *, member: bool) -> bool:
        """Whether a tree with a pattern lists a real path."""
        return any(tree.covers(real, member=member) for tree in self._patterns_at(real))

    def _patterns_at(self, real: str) -> Iterator[Tree]:
        """Trees with a pattern that a real path may be in."""
        if self._patterns:
            for place in (real, *above(real)):
                yield from self._patterns.get(place, ())

    def run(self) -> Iterator[Found]:
        """Files of the trees, one tree after the other, where their URIs interleave merged.

        Raises:
            UsageError: Once it is that tree's turn: a pattern of the caller's matches nothing.
        """
        trees = sorted(self.trees, key=lambda tree: tree.shown)
        start = 0
        for end in range(1, len(trees) + 1):
            if end == len(trees) or not trees[end].shown.startswith(trees[start].shown):
                several = map(self._files, trees[start:end])
                yield from next(several) if end == start + 1 else heapq.merge(*several, key=operator.itemgetter(0))
                start = end

    def _files(self, tree: Tree) -> Iterator[Found]:
        """Files of one tree, in the order of their URIs."""
        missing = set(tree.pattern.names) if isinstance(tree.pattern, Names) else set[str]()
        matched = tree.pattern is EVERYTHING
        for step in self._walk(tree):
            matched = True
            if missing:
                missing.discard(step.inside)
            if self._is_elsewhere(tree, step):
                continue
            if isinstance(step.what, str):
                self.unreadable(tree.shown + step.inside, step.what)
            else:
                yield tree.shown + step.inside, step.what if isinstance(step.what, Member) else None
        for name in sorted(missing):
            shown = tree.shown + name
            self._unmatched(tree, shown, "there is no such member", f"{printable(shown)}: there is no such member")
        if not matched and not isinstance(tree.pattern, Names):
            self._unmatched(tree, tree.source, "no file matches", f"no file matches {printable(tree.source)}")

    def _unmatched(self, tree: Tree, uri: str, reason: str, sentence: str) -> None:
        if not tree.listed:
            raise UsageError(reason=sentence)
        self.unreadable(uri, reason)

    def _is_elsewhere(self, tree: Tree, step: _Step) -> bool:
        """Whether a file comes from somewhere else, or has come already."""
        is_member = isinstance(step.what, Member)
        if step.real != tree.real + step.inside and not step.linked:  # through a link to a directory
            if any(step.real in others for others in (self._seen, self.alone, self.followed)):
                return True
            if self._is_covered(step.real, member=is_member):
                return True
            if not tree.pattern.deep:
                if self.reaches(step.real, member=is_member):
                    return True
                self._seen.add(step.real)
        if tree.pattern is EVERYTHING:
            return False
        if self._whole and any(parent in self._whole for parent in above(step.real)):
            return True
        # Of the patterns that a file matches, the first here lists it, whichever tree is at work.
        first = next(
            (other for other in self._patterns_at(step.real) if other.covers(step.real, member=is_member)), tree
        )
        return first is not tree

    def _walk(self, tree: Tree) -> Iterator[_Step]:
        """What is in a tree, depth first, names in order."""
        start = self._members(tree, tree.archive, "", tree.real) if tree.archive else self._directory(tree)
        stack = [start]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
            elif isinstance(step.what, Archive):
                stack.append(self._members(tree, step.what, step.inside, step.real))
            elif step.what is _Directory.DIRECTORY:
                stack.append(self._directory(tree, step.inside, step.real))
            else:
                yield step

    def _members(self, tree: Tree, archive: Archive, inside: str, real: str) -> Iterator[_Step]:
        """What is asked for in an archive; ``inside`` and ``real`` are what its members' paths begin with."""
        problems: list[str] = []
        try:
            for name, member in self.archives.members(archive.path, archive.kind, problems.append):
                if name.startswith(archive.prefix):
                    rest = name[len(archive.prefix) :]
                    if archive.whole or tree.pattern.takes(inside + rest):
                        yield _Step(inside + rest, real + rest, member)
        except OSError as error:
            problems.append(f"cannot be read: {error.strerror}")
        for problem in problems[:1]:
            self.unreadable(archive.path, problem)

    def _directory(self, tree: Tree, relative: str = "", real: str = "") -> Iterator[_Step]:
        """What is asked for in a directory, in the order of URIs.

        Those of an archive's members come after names that go on with a space where the archive's ends.
        """
        real = real or tree.real
        waiting: list[tuple[str, _Step]] = []
        plain = tree.pattern is EVERYTHING
        for name, oddity in in_order(self._names(tree.shown + relative or ".", real)):
            while waiting and waiting[0][0] < name:
                yield heapq.heappop(waiting)[1]
            if plain and not oddity and name[-1] != "/" and not suffix_kind(name):  # a million times
                path = real + name
                if path not in self.exclude:
                    yield _Step(relative + name, path, None)
                continue
            for step in self._wanted(tree, relative + name, real + name, oddity):
                if isinstance(step.what, Archive):
                    heapq.heappush(waiting, (name + SEPARATOR, step))
                else:
                    yield step
        while waiting:
            yield heapq.heappop(waiting)[1]

    def _names(self, uri: str, real: str) -> Iterator[tuple[str, str]]:
        """Names in a directory, each with what is odd about it; a directory's name ends in /."""
        try:
            with os.scandir(uri) as entries:
                for entry in entries:
                    yield _name(entry)
        except OSError as error:
            if real not in self._unlisted:
                self.unreadable(uri, f"cannot list the directory: {error.strerror}")
            self._unlisted.add(real)

    def _wanted(self, tree: Tree, inside: str, real: str, oddity: str) -> Iterator[_Step]:
        """What there is to be done about something in a directory."""
        directory = inside.endswith("/")
        whole = tree.pattern.enters(inside[:-1]) if directory else tree.pattern.takes(inside)
        if not whole and (directory or not suffix_kind(inside) or not tree.pattern.enters(inside + SEPARATOR[0])):
            return
        if self._is_excluded(real):
            return
        if oddity and oddity != LINK:
            if whole:
                yield _Step(inside, real, oddity)
            return
        step = _Step(inside, real, _Directory.DIRECTORY if directory else None)
        kind = None if directory else kind_of(tree.shown + inside)
        if kind is not None:
            beside = os.path.lexists(f"{tree.shown}{inside}{SEPARATOR[0]}")
            archive = Archive(tree.shown + inside, kind, whole)
            step = step._replace(what=BESIDE_A_DIRECTORY) if beside else _inside_of(step, archive)
        elif not whole:
            return
        if oddity:
            yield from self._link(tree, inside, step)
        elif not self._has_come(tree, step):
            yield step

    def _has_come(self, tree: Tree, step: _Step) -> bool:
        """Whether what is met behind a link is where another link has led, or is a tree of its own."""
        behind = step.real != tree.real + step.inside
        return behind and (step.real in self.followed or step.real in self._whole)

    def _is_excluded(self, real: str) -> bool:
        """Whether something is the output, or what this or another export keeps while it is not finished."""
        path = real.rstrip("/")
        return path in self.exclude or path == self.archives.spool.directory or is_job(path)

    def _link(self, tree: Tree, inside: str, step: _Step) -> Iterator[_Step]:
        """Where a symbolic link leads, unless that is reached anyway."""
        target = os.path.realpath(tree.shown + inside)
        if self._is_excluded(target):
            return
        end = SEPARATOR if isinstance(step.what, Archive) else "/" if inside.endswith("/") else ""
        step = step._replace(real=target + end, linked=True)
        # A pattern of fixed depth cannot loop, and need not ask for all that is in the directory.
        if step.what is _Directory.DIRECTORY and not tree.pattern.deep:
            yield step
        elif not self.reaches(step.real, member=isinstance(step.what, Archive)):
            self.followed.add(step.real)
            yield step


def _inside_of(step: _Step, archive: Archive) -> _Step:
    return _Step(step.inside + SEPARATOR, step.real + SEPARATOR, archive)


LINK = "link"
"""What is odd about a name that leads to a file or a directory."""


def _name(entry: os.DirEntry[str]) -> tuple[str, str]:
    """A name, and "", ``LINK``, or the reason why it cannot be read."""
    try:
        if entry.is_dir():
            return entry.name + "/", LINK if entry.is_symlink() else ""
        if entry.is_file():
            return entry.name, LINK if entry.is_symlink() else ""
    except OSError as error:
        return entry.name, f"cannot be reached: {error.strerror}"
    return entry.name, "not a regular file" if os.path.exists(entry.path) else "link to nothing"  # noqa: PTH110
