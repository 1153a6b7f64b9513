"""What is kept beside the bytes of a file: JSON in an extended attribute, or in a sidecar file ``<blob>.json``.

A sidecar is written where the file system has no attributes, where the attribute would be too big, and where two
names share one file (a hard link) and therefore its attributes. A sidecar wins over an attribute.
"""

import errno
import json
import os
from dataclasses import asdict
from typing import Final

import xattr

from gateway.blobs.directories import Directory, synchronise
from gateway.blobs.protocol import BlobDescription
from gateway.blobs.temporary import TemporaryFile, TemporaryFiles

ATTRIBUTE: Final = "user.rowlock"
SIDECAR_SUFFIX: Final = ".json"

# ext4 keeps all attributes of a file in one 4 KiB block; the rest is room for labels of the system.
_ATTRIBUTE_MAX_BYTES: Final = 3072
# The JSON API takes 1 MiB of metadata, which may be longer once it is JSON again.
_SIDECAR_MAX_BYTES: Final = 4 * 1024 * 1024
_NO_ATTRIBUTE: Final = frozenset({errno.ENOTSUP, errno.E2BIG, errno.ENOSPC, errno.ERANGE, errno.EDQUOT, errno.EPERM})


def encode(description: BlobDescription) -> bytes:
    """The JSON form."""
    fields = {**asdict(description), "metadata": dict(description.metadata)}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(data: bytes) -> BlobDescription | None:
    """The description, or None if this is not one."""
    try:
        description = BlobDescription(**json.loads(data.decode("utf-8", "surrogatepass")))
        metadata = description.metadata.items()
    except (ValueError, TypeError, AttributeError):
        return None
    texts = [value for name, value in asdict(description).items() if name != "metadata"]
    texts += [text for item in metadata for text in item]
    return description if all(isinstance(text, str) for text in texts) else None


class Descriptions:
    """Writes and reads descriptions on one file system; blocks."""

    def __init__(self, files: TemporaryFiles, directory: Directory, *, attributes: bool | None = None) -> None:
        self._files = files
        self.attributes: Final = self._probe(directory) if attributes is None else attributes

    def attach(self, file: TemporaryFile, description: BlobDescription) -> bool:
        """Put it into the file's attribute; False if only a sidecar can hold it. fsync of the file makes it durable."""
        data = encode(description)
        if not self.attributes or len(data) > _ATTRIBUTE_MAX_BYTES:
            return False
        try:
            xattr.setxattr(file.fd, ATTRIBUTE, data)
        except OSError as error:
            if error.errno in _NO_ATTRIBUTE:
                return False
            raise
        return True

    def write_sidecar(self, directory: Directory, blob_id: str, description: BlobDescription) -> str:
        """Write the sidecar and return its name; durable once the directory is synchronised."""
        name = blob_id + SIDECAR_SUFFIX
        file = self._files.open(directory)
        try:
            file.write(encode(description))
            synchronise(file.fd)
            file.link(directory, name)
        finally:
            file.close()
        return name

    def read(self, directory: Directory, blob_id: str, fd: int) -> BlobDescription | None:
        """The description of a blob opened as ``fd``; None if there is none that can be read."""
        try:
            sidecar = os.open(blob_id + SIDECAR_SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
        except FileNotFoundError:
            try:
                return decode(xattr.getxattr(fd, ATTRIBUTE))
            except OSError as error:
                if error.errno in {errno.ENODATA, errno.ENOTSUP, getattr(errno, "ENOATTR", errno.ENODATA)}:
                    return None
                raise
        with open(sidecar, "rb") as file:
            return decode(file.read(_SIDECAR_MAX_BYTES))

    def _probe(self, directory: Directory) -> bool:
        file = self._files.open(directory)
        try:
            xattr.setxattr(file.fd, ATTRIBUTE, b"{}")
        except OSError as error:
            if error.errno in _NO_ATTRIBUTE:
                return False
            raise
        finally:
            file.close()
        return True
