"""Which store a blob is in, which store new blobs go to, and the epoch they are named after."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.blobs.protocol import BlobStore, new_blob_id
from gateway.errors import StorageError

_DOUBTFUL_BLOBS: Final = 10_000


@dataclass(slots=True)
class Epoch:
    """The number of this process's current life; a process that was declared dead takes a new one (jobs/epoch).

    ``doubtful`` are blobs, with their stores, of which this process does not know whether a row names them. What
    does not fit is found by the sweeper when the epoch has ended.
    """

    number: int
    doubtful: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_DOUBTFUL_BLOBS))


@dataclass(frozen=True, slots=True)
class BlobStores:
    """The stores of a tenant by name. An object's row names its own; new objects go to ``default``."""

    stores: Mapping[str, BlobStore]
    default: BlobStore
    epoch: Epoch

    def named(self, name: str | None) -> BlobStore:
        """The store a row names. Raises StorageError(InternalError) if the configuration lacks it."""
        store = self.stores.get(name or "")
        if store is None:
            raise StorageError("InternalError")
        return store

    def doubt(self, backend: str, blob_ids: Sequence[str]) -> None:
        """Leave these to the epoch's keeper, who finds out whether a row names them."""
        self.epoch.doubtful.extend((backend, blob_id) for blob_id in blob_ids)

    def new_blob_id(self) -> str:
        """An id of the current epoch."""
        return new_blob_id(self.epoch.number)
