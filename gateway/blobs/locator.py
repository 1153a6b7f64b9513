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
    """The stores of a tenant by name. An object's row names its own; new objects go where their bucket says, else to
    ``default``. ``replicas`` are copies for a bad day: nothing is read from them, and no row names them."""

    stores: Mapping[str, BlobStore]
    default: BlobStore
    epoch: Epoch
    replicas: Mapping[str, BlobStore] = field(default_factory=dict)

    def named(self, name: str | None) -> BlobStore:
        """The store a row names. Raises StorageError(InternalError) if the configuration lacks it."""
        store = self.stores.get(name or "")
        if store is None:
            raise StorageError("InternalError")
        return store

    def for_writing(self, name: str | None) -> BlobStore:
        """The store of a bucket that names this one, or none. Raises StorageError(InternalError)."""
        return self.default if name is None else self.named(name)

    async def close(self) -> None:
        """Close every store."""
        for store in (*self.stores.values(), *self.replicas.values()):
            await store.close()

    def doubt(self, backend: str, blob_ids: Sequence[str]) -> None:
        """Leave these to the epoch's keeper, who finds out whether a row names them."""
        self.epoch.doubtful.extend((backend, blob_id) for blob_id in blob_ids)

    def new_blob_id(self) -> str:
        """An id of the current epoch."""
        return new_blob_id(self.epoch.number)
