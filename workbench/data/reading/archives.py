"""Unpacking gz and zip into a folder of our own, whatever the archive says of itself.

Bytes are counted while they come out, so a bomb stops at the limit. Members are written
under numbers, never under their own names. This module does not know what the unpacked
files hold.
"""

from __future__ import annotations

import gzip
import itertools
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from workbench.data.reading.opened import megabytes, phrase, safe_name
from workbench.errors import BadArchive, FileTooLarge, WorkbenchError

CHUNK = 1 << 20
MOST_MEMBERS = 1000
GZ = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
# The first name that such a file has inside tells what it is.
PACKAGES = (
    ("word/", "a Word document"),
    ("xl/", "an Excel workbook; save it as CSV"),
    ("ppt/", "a PowerPoint file"),
    ("META-INF/", "a Java, OpenDocument or EPUB package"),
    ("mimetype", "an OpenDocument or EPUB file"),
)


@dataclass
class Budget:
    """Bytes that may still be written while one file is unpacked."""

    name: str
    limit: int
    left: int
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def spend(self, size: int) -> None:
        """Raises:
        FileTooLarge: the budget is used up.
        """
        self.left -= size
        if self.left < 0:
            raise FileTooLarge(
                name=self.name,
                size=f"more than {megabytes(self.limit)}",
                limit=megabytes(self.limit),
            )


@dataclass(frozen=True)
class Member:
    """A file that came out of an archive, or the reason why it did not."""

    name: str
    path: Path
    error: WorkbenchError | None = None


def is_archive(head: bytes) -> bool:
    """True for what ``unpack`` can take apart."""
    return head.startswith((GZ, ZIP, EMPTY_ZIP))


def unpack(path: Path, name: str, folder: Path, budget: Budget, depth: int = 0) -> list[Member]:
    """The plain files of an archive, written to ``folder``; a plain file is itself.

    A zip may hold gz files and a gz may hold a zip; a zip inside a zip is left out.

    Raises:
        BadArchive, FileTooLarge.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(GZ):
        if depth > 1:
            raise BadArchive(name=name, reason="it is packed more than twice over")
        inner = name[:-3] if name.lower().endswith(".gz") and len(name) > 3 else name
        return unpack(_gunzip(path, name, folder, budget), inner, folder, budget, depth + 1)
    if head in (ZIP, EMPTY_ZIP):
        return list(_unzip(path, name, folder, budget, depth))
    return [Member(name, path)]


def _gunzip(path: Path, name: str, folder: Path, budget: Budget) -> Path:
    target = folder / f"{next(budget.numbers)}"
    try:
        with gzip.open(path) as packed:
            _pour(packed, target, budget)
    except EOFError as error:
        raise BadArchive(name=name, reason="it is cut short") from error
    except (OSError, zlib.error) as error:
        raise BadArchive(name=name, reason=f"it is damaged ({phrase(error)})") from error
    return target


def _pour(source: IO[bytes] | gzip.GzipFile, target: Path, budget: Budget) -> None:
    with target.open("wb") as file:
        while chunk := source.read(CHUNK):
            budget.spend(len(chunk))
            file.write(chunk)


def _unzip(path: Path, name: str, folder: Path, budget: Budget, depth: int) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadArchive(name=name, reason="it is cut short or damaged") from error
    with archive:
        infos = archive.infolist()
        _check_package([info.filename for info in infos], name)
        wanted = [info for info in infos if not info.is_dir() and not _is_clutter(info)]
        if len(wanted) > MOST_MEMBERS:
            raise BadArchive(name=name, reason=f"it holds more than {MOST_MEMBERS} files")
        for info in wanted:
            _check_member(info, name)
        if not wanted:
            raise BadArchive(name=name, reason="it holds no files")
        for info in sorted(wanted, key=lambda info: info.filename):
            inside = f"{name}/{safe_name(_true_name(info))}"
            yield from _member(archive, info, inside, folder, budget, depth)


def _member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    name: str,
    folder: Path,
    budget: Budget,
    depth: int,
) -> Iterator[Member]:
    """One member, unpacked further if it is gz; damage to it does not harm the others."""
    target = folder / f"{next(budget.numbers)}"
    try:
        with archive.open(info) as packed:
            _pour(packed, target, budget)
        with target.open("rb") as file:
            head = file.read(4)
        if head in (ZIP, EMPTY_ZIP):
            _check_package(_names(target), name)
            raise BadArchive(name=name, reason="it is an archive inside an archive")
        yield from unpack(target, name, folder, budget, depth + 1)
    except BadArchive as error:
        yield Member(name, target, error)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, ValueError) as error:
        reason = f"it is damaged ({phrase(error)})"
        yield Member(name, target, BadArchive(name=name, reason=reason))
    except (RuntimeError, NotImplementedError) as error:
        yield Member(name, target, BadArchive(name=name, reason=phrase(error)))


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _check_package(names: list[str], name: str) -> None:
    """Documents and weights are zips too; the person knows them by another word.

    Raises:
        BadArchive.
    """
    what = ""
    if "[Content_Types].xml" in names or "mimetype" in names or "META-INF/MANIFEST.MF" in names:
        starts = (what for start, what in PACKAGES if any(one.startswith(start) for one in names))
        what = next(starts, "an Office document")
    if any(one == "data.pkl" or one.endswith("/data.pkl") for one in names):
        what = "a PyTorch file, which can hide programs"
    if what:
        raise BadArchive(name=name, reason=f"it is {what}")


def _is_clutter(info: zipfile.ZipInfo) -> bool:
    parts = info.filename.split("/")
    return any(part in CLUTTER or (part.startswith(".") and part != "..") for part in parts)


def _check_member(info: zipfile.ZipInfo, name: str) -> None:
    """Raises:
    BadArchive: the member would lead out of the folder, is a link, or is locked.
    """
    inside = info.orig_filename.replace("\\", "/")
    if inside.startswith("/") or ".." in inside.split("/") or inside[1:2] == ":":
        reason = f"it holds the name “{safe_name(inside)}”, which leads out of it"
        raise BadArchive(name=name, reason=reason)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BadArchive(name=name, reason=f"“{safe_name(inside)}” in it is a link, not a file")
    if info.flag_bits & 1:
        raise BadArchive(name=name, reason="it is locked with a password")


def _true_name(info: zipfile.ZipInfo) -> str:
    """Old archivers write names in UTF-8, Big5 or GBK and do not say so."""
    if info.flag_bits & 0x800:
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    for encoding in ("utf-8", "big5hkscs", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename
