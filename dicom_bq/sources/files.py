"""Sources to URIs: directories, files, patterns, archives and lists of the local file system, each file once, in order.

Listing streams: names are sorted in runs, a directory at a time, and so are the files that sources and lists name.
A URI here is a path as the caller spelled its beginning; bytes that are not UTF-8 are in it as ``os.fsdecode`` gives
them, see ``as_text``.
"""

from __future__ import annotations

import errno
import functools
import heapq
import itertools
import operator
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dicom_bq.errors import UsageError
from dicom_bq.sources.archives import Archives, kind_of, suffix_kind
from dicom_bq.sources.lists import check_list, is_list, read_list
from dicom_bq.sources.members import SEPARATOR, ArchiveLimits, Kind
from dicom_bq.sources.names import as_text, has_scheme, printable
from dicom_bq.sources.patterns import EVERYTHING, Names, Pattern, has_wildcard, parse
from dicom_bq.sources.runs import Kept, in_order
from dicom_bq.sources.spool import Spool
from dicom_bq.sources.trees import Archive, Tree, above
from dicom_bq.sources.walk import BESIDE_A_DIRECTORY, Found, Listing, Unreadable

__all__ = ["as_text", "expand", "listing", "printable"]

DIRECTORIES_REMEMBERED = 4096
_ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG))


def expand(
    sources: Sequence[str | os.PathLike[str]],
    *,
    exclude: Sequence[str] = (),
    unreadable: Unreadable = lambda uri, reason: None,
) -> Iterator[str]:
    """URIs of the files that sources stand for; see ``listing``."""
    return (uri for uri, _ in listing(sources, exclude=exclude, unreadable=unreadable))


def listing(
    sources: Sequence[str | os.PathLike[str]],
    *,
    exclude: Sequence[str] = (),
    unreadable: Unreadable = lambda uri, reason: None,
    spool: Spool | None = None,
    limits: ArchiveLimits | None = None,
) -> Iterator[Found]:
    """The files that sources stand for, in ascending order of URI, each with where it is if that is an archive.

    A directory stands for all files in it, at any depth, and an archive for its members. A symbolic link is
    followed, unless what it leads to is reached anyway: loops end, and no file comes twice, also when sources
    overlap. (Two hard links are two files.)

    Args:
        sources: Directories, files, archives, members of archives, or patterns (``dicom_bq.sources.patterns``); or
            lists of them, ``-`` for stdin and ``@FILE``. A path that exists is taken literally, whatever characters
            are in it.
        exclude: Paths that are never entered nor listed, such as the output.
        unreadable: Told about directories that cannot be listed, links to nothing, devices, pipes, sockets, members
            that cannot be read; and what is in a list and does not exist.
        spool: Where archives are inflated; None when no member is going to be read.
        limits: What archives may cost.

    Raises:
        UsageError: A source does not exist; or, once it is that source's turn, a pattern matches nothing, or a list
            is empty.
        DestinationError: There is no room for a temporary file.
    """
    given = [os.fsdecode(source) for source in sources]
    lists = list(dict.fromkeys(source for source in given if is_list(source)))
    for one in lists:
        check_list(one)
    resolver = _Resolver()
    direct = [resolver.place(source) for source in given if source not in lists]
    hidden = frozenset(os.path.realpath(path) for path in exclude)
    return _listed(direct, lists, resolver, hidden, unreadable, Archives(spool or Spool(), limits or ArchiveLimits()))


class _File(NamedTuple):
    shown: str
    real: str
    reason: str = ""


def _listed(
    direct: list[_File | Tree],
    lists: list[str],
    resolver: _Resolver,
    exclude: frozenset[str],
    unreadable: Unreadable,
    archives: Archives,
) -> Iterator[Found]:
    trees: list[Tree] = []
    by_path = _unique(in_order(_files(itertools.chain(direct, _from_lists(lists, resolver)), trees)))
    first = list(itertools.islice(by_path, 1))  # now that one is known, all have been seen: trees are complete
    listing = Listing(_outermost(trees), exclude, unreadable, archives)
    kept = Kept()
    try:
        chosen = (file for file in itertools.chain(first, by_path) if _is_alone(file[0], file[3], listing, kept))
        files = _readable(in_order((shown, reason) for _, _, shown, reason in chosen), unreadable)
        early = list(itertools.islice(files, 1))  # and now ``kept`` is complete
        listing.alone = kept
        yield from heapq.merge(itertools.chain(early, files), listing.run(), key=operator.itemgetter(0))
    finally:
        kept.close()


def _files(places: Iterator[_File | Tree], trees: list[Tree]) -> Iterator[tuple[str, int, str, str]]:
    """Those that are files, as what can be sorted; the others go to ``trees``."""
    for number, place in enumerate(places):
        if isinstance(place, Tree):
            trees.append(place)
        else:
            yield place.real, number, place.shown, place.reason


def _unique(files: Iterator[tuple[str, int, str, str]]) -> Iterator[tuple[str, int, str, str]]:
    previous = None
    for file in files:
        if file[0] != previous:
            yield file
        previous = file[0]


def _is_alone(real: str, reason: str, listing: Listing, kept: Kept) -> bool:
    """Whether no tree says of a file, or of what cannot be read for a reason, that it is there; it is kept then."""
    is_absent = reason and not os.path.lexists(real)  # no walk meets that
    alone = is_absent or (real not in listing.exclude and not listing.reaches(real))
    if alone:
        kept.add(real)
    return bool(alone)


def _readable(files: Iterator[tuple[str, str]], unreadable: Unreadable) -> Iterator[Found]:
    for shown, reason in files:
        if reason:
            unreadable(shown, reason)
        else:
            yield shown, None


def _from_lists(lists: Sequence[str], resolver: _Resolver) -> Iterator[_File | Tree]:
    """What lists name; what cannot be is a file with a reason."""
    for one in lists:
        for source in read_list(one):
            try:
                place = resolver.place(source)
            except UsageError as error:
                yield _File(source, resolver.itself(source), error.facts["why"])
            else:
                yield replace(place, listed=True) if isinstance(place, Tree) else place


def _refused(path: str, why: str, between: str = " ") -> UsageError:
    return UsageError(reason=f"{printable(path)}{between}{why}", why=why)


def _tidy(path: str) -> str:
    """A path without repeated or trailing slashes and ``.`` components, so that one file has one spelling."""
    if path and path[-1] not in "./" and "//" not in path and "/./" not in path and not path.startswith("./"):
        return path  # mostly, and there may be a million
    return re.sub(r"(?<=/)(\./|/)+|^(\./+)+", "", path + "/")[:-1] or ("/" if path.startswith("/") else ".")


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Finds out what sources are: for a file in a list of many, with one system call."""

    _real: functools._lru_cache_wrapper[str] = field(
        default_factory=lambda: functools.lru_cache(DIRECTORIES_REMEMBERED)(os.path.realpath)
    )

    def place(self, source: str) -> _File | Tree:
        """What a source is.

        Raises:
            UsageError: It is nothing that can be read.
        """
        path = _tidy(source)
        try:
            mode = os.lstat(path).st_mode
            linked = stat.S_ISLNK(mode)
            mode = os.stat(path).st_mode if linked else mode  # noqa: PTH116 (a million sources: no Path object each)
        except OSError as error:
            if error.errno in _ABSENT and not os.path.lexists(path):
                return self._absent(source, path)
            raise _refused(path, f"cannot be reached: {error.strerror}") from error
        except ValueError as error:
            raise _refused(path, "is not a path") from error
        if stat.S_ISDIR(mode):
            return _tree("" if path == "." else path.rstrip("/") + "/", EVERYTHING, path)
        if not stat.S_ISREG(mode):
            raise _refused(path, "is neither a file nor a directory")
        kind = kind_of(path)
        if kind is not None:
            return _archive(path, kind, "", source)
        return _File(path, os.path.realpath(path) if linked else self._itself(path))

    def itself(self, source: str) -> str:
        """Real path of what a source names, of a link itself: what a walk knows it by that cannot read it either."""
        try:
            return self._itself(_tidy(source))
        except ValueError:  # it is no path
            return source

    def _itself(self, path: str) -> str:
        """Real path of what is there, of a link itself."""
        directory, _, name = path.rpartition("/")
        parent = self._real(directory or ("/" if path.startswith("/") else "."))
        return f"{parent.rstrip('/')}/{name}"

    def _absent(self, source: str, path: str) -> Tree:
        """What a source is that is no path: members of an archive, or a pattern."""
        if has_scheme(source):
            raise _refused(source, "sources are files here, and nothing is read over a network", ": ")
        at = source.find(SEPARATOR)
        while at >= 0:
            archive = _tidy(source[:at])
            kind = kind_of(archive) if suffix_kind(archive) else None
            if kind is not None:
                return _archive(archive, kind, source[at + len(SEPARATOR) :], source)
            at = source.find(SEPARATOR, at + 1)
        if not has_wildcard(path):
            raise _refused(path, "does not exist")
        directory, pattern = _parsed(path, path)
        if not os.path.isdir(directory or "."):  # noqa: PTH112
            raise _refused(path, f"there is no directory {printable(directory)}", ": ")
        return _tree(directory, pattern, path)


def _parsed(pattern: str, source: str) -> tuple[str, Pattern]:
    try:
        return parse(pattern)
    except UsageError as error:
        raise _refused(source, error.facts["why"], ": ") from error


def _tree(shown: str, pattern: Pattern, source: str) -> Tree:
    return Tree(shown, os.path.realpath(shown or ".").rstrip("/") + "/", pattern, source)


def _archive(path: str, kind: Kind, member: str, source: str) -> Tree:
    """An archive, or of its members one, those in a directory of it, or those that match a pattern."""
    if os.path.lexists(path + SEPARATOR[0]):
        raise _refused(path, BESIDE_A_DIRECTORY, ": ")
    while member.startswith("./"):
        member = member[2:].lstrip("/")
    prefix = ""
    pattern: Pattern | Names = Names(frozenset((member,)))
    if not member:
        pattern = EVERYTHING
    elif has_wildcard(member) or member.endswith("/"):
        prefix, pattern = _parsed(member if has_wildcard(member) else member + "**", source)
    shown = path + SEPARATOR
    archive = Archive(path, kind, whole=pattern is EVERYTHING, prefix=prefix)
    return Tree(shown + prefix, os.path.realpath(path) + SEPARATOR + prefix, pattern, source, archive)


def _outermost(trees: list[Tree]) -> list[Tree]:
    """Trees without those that stand for nothing that another does not; the names of one archive together."""
    whole = {tree.real for tree in trees if tree.pattern is EVERYTHING}
    kept: dict[tuple[str, object], Tree] = {}
    named: dict[tuple[str, bool], list[Tree]] = {}
    for tree in trees:
        inside = any(parent in whole for parent in above(tree.real))
        if inside or (tree.pattern is not EVERYTHING and tree.real in whole):
            continue
        if isinstance(tree.pattern, Names):
            named.setdefault((tree.real, tree.listed), []).append(tree)
        else:
            kept.setdefault((tree.real, tree.pattern), tree)
    together = (replace(several[0], pattern=_all_names(several)) for several in named.values())
    return [*kept.values(), *together]


def _all_names(trees: list[Tree]) -> Names:
    return Names(frozenset().union(*(tree.pattern.names for tree in trees if isinstance(tree.pattern, Names))))
