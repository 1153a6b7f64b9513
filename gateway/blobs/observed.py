"""The file store of a process that is watched: the calls a request waits for are counted, and seen in its trace."""

from collections.abc import Sequence
from typing import Final

from gateway.blobs.digest import Digester
from gateway.blobs.file import FileStore
from gateway.blobs.file_writer import FileWriter
from gateway.blobs.protocol import BlobDescription, BlobReader
from gateway.telemetry.watch import Watch

FILE_CALLS: Final = ("open", "finish", "copy", "delete")
S3_CALLS: Final = (
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetObject",
    "GetObjectTagging",
    "HeadObject",
    "ListMultipartUploads",
    "ListObjectsV2",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
)
"""What is counted of a backend of each kind; of a kind that was installed, nothing is."""


class ObservedFileStore(FileStore):
    """See FileStore."""

    def create(self, blob_id: str, digester: Digester) -> FileWriter:
        """See BlobStore; what counts is ``finish``, for until then the client is the slow one."""
        return _ObservedWriter(self.name, self._volume, self._writers, self._sync, blob_id, digester)

    async def copy(self, source_blob_id: str, target_blob_id: str, description: BlobDescription) -> None:
        """See CopyingStore."""
        with Watch(self.name, "copy"):
            await super().copy(source_blob_id, target_blob_id, description)

    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        """See BlobStore."""
        with Watch(self.name, "open"):
            return await super().open(blob_id, offset_bytes, length_bytes)

    async def delete_many(self, blob_ids: Sequence[str]) -> None:
        """See BlobStore."""
        with Watch(self.name, "delete"):
            await super().delete_many(blob_ids)


class _ObservedWriter(FileWriter):
    def __init__(self, backend: str, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._backend = backend

    async def finish(self, description: BlobDescription) -> None:
        """See BlobWriter."""
        with Watch(self._backend, "finish"):
            await super().finish(description)
