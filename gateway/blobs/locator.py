"""Which store a blob is in, which store new blobs go to, and the epoch they are named after."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.blobs.protocol import BlobStore, new_blob_id
from gateway.errors import StorageError


@dataclass(slots=True)
class Epoch:
    """The number of this process's current life; a process that was declared dead takes a new one (jobs/epoch)."""

    number: int


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

    def new_blob_id(self) -> str:
        """An id of the current epoch."""
        return new_blob_id(self.epoch.number)
