"""A directory tree as a source: every regular file is an object whose key is its path, with slashes.

Symbolic links are not followed: they may lead out of the tree, and in circles. Nothing may say of a file what its type
is, so it is guessed from the name.
"""

import asyncio
import mimetypes
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from gateway.blobs.readers import PIECE_BYTES
from gateway.errors import StorageError
from gateway.importing.source import SourceFacts, SourceObject, Unusable

T = TypeVar("T")

_PAGE: Final = 500
_THREADS: Final = 8


class DirectorySource:
    """A tree of files."""

    def __init__(self, root: Path) -> None:
        self._root: Final = root
        self._executor: Final = ThreadPoolExecutor(_THREADS, thread_name_prefix="import")

    async def pages(self) -> AsyncGenerator[Sequence[SourceObject | Unusable], None]:
        """See Source."""
        found = _walk(str(self._root), "")
        while page := await self._run(partial(_next_page, found)):
            yield page

    async def facts(self, found: SourceObject) -> SourceFacts:
        """See Source."""
        content_type, coding = mimetypes.guess_type(found.name)
        # What is compressed is kept as the file it is: a Content-Encoding would have clients unpack it.
        return SourceFacts(
            found.size_bytes, content_type=_TYPE_OF_CODING.get(coding or "", content_type), part_sizes=()
        )

    @asynccontextmanager
    async def open(
        self, found: SourceObject, facts: SourceFacts, offset_bytes: int, length_bytes: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See Source."""
        descriptor = await self._run(partial(os.open, self._root / found.name, os.O_RDONLY | os.O_NOFOLLOW))
        try:
            yield self._pieces(descriptor, found, offset_bytes, length_bytes)
        finally:
            await asyncio.shield(self._run(partial(os.close, descriptor)))

    async def close(self) -> None:
        """See Source."""
        self._executor.shutdown()

    async def _pieces(
        self, descriptor: int, found: SourceObject, offset_bytes: int, length_bytes: int
    ) -> AsyncIterator[bytes]:
        end = offset_bytes + length_bytes
        while offset_bytes < end:
            piece = await self._run(partial(os.pread, descriptor, min(PIECE_BYTES, end - offset_bytes), offset_bytes))
            if not piece:
                break
            offset_bytes += len(piece)
            yield piece
        now = await self._run(partial(os.fstat, descriptor))
        if (now.st_size, _modified(now)) != (found.size_bytes, found.modified):
            raise StorageError("OperationAborted", "The file was changed while it was read.")

    async def _run(self, job: "partial[T]") -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, job)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError("InternalError", f"It cannot be read: {error.strerror}.") from error


_TYPE_OF_CODING: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}


def _next_page(found: Iterator[SourceObject | Unusable]) -> Sequence[SourceObject | Unusable]:
    return list(islice(found, _PAGE))


def _walk(directory: str, prefix: str) -> Iterator[SourceObject | Unusable]:
    pending = [(directory, prefix)]
    while pending:
        directory, prefix = pending.pop()
        try:
            entries = os.scandir(directory)
        except OSError as error:
            yield Unusable(_shown(prefix), f"cannot be read: {error.strerror}")
            continue
        with entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, f"{name}/"))
                else:
                    yield _object_of(entry, name)


def _object_of(entry: "os.DirEntry[str]", name: str) -> SourceObject | Unusable:
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Unusable(_shown(name), f"cannot be read: {error.strerror}")
    if stat.S_ISLNK(facts.st_mode):
        return Unusable(_shown(name), "a symbolic link, which is not followed")
    if not stat.S_ISREG(facts.st_mode):
        return Unusable(_shown(name), "no regular file")
    try:
        name.encode()
    except UnicodeEncodeError:
        return Unusable(_shown(name), "its name is not UTF-8")
    return SourceObject(name, name, facts.st_size, _modified(facts))


def _modified(facts: os.stat_result) -> datetime:
    return datetime.fromtimestamp(facts.st_mtime_ns // 1000 / 1_000_000, UTC)


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
