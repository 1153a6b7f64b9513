"""What an error of the operating system means to a caller (reliability: F12, F13, F15)."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.errors import StorageError

_CODES: Final = {
    errno.ENOSPC: "InsufficientStorage",
    errno.EDQUOT: "InsufficientStorage",
    errno.EROFS: "ServiceUnavailable",
    errno.EMFILE: "ServiceUnavailable",
    errno.ENFILE: "ServiceUnavailable",
}


def storage_error(error: OSError) -> StorageError:
    """The error of the catalogue: no room, not now, or an internal one for everything that is a fault of the disk."""
    return StorageError(_CODES.get(error.errno or 0, "InternalError"))


@contextmanager
def translated(*passed: type[OSError]) -> Iterator[None]:
    """Raise StorageError in place of OSError, except for the types that are ``passed`` on."""
    try:
        yield
    except passed:
        raise
    except OSError as error:
        raise storage_error(error) from error
