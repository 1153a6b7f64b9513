"""A process that stores one blob and says so: killed, traced and starved by the tests beside it.

Arguments: root, size in bytes, whether the file system is to be taken for a rich one (1) or a poor one (0).
"""

import asyncio
import os
import sys
from pathlib import Path

from gateway.blobs.digest import Digester
from gateway.blobs.file import FileStore
from gateway.blobs.protocol import BlobDescription, new_blob_id
from gateway.telemetry import failpoints

EPOCH = 3
KEY = "canary-key-of-a-client"
DESCRIPTION = BlobDescription("t", "b", KEY, "v", "e", "text/plain", {"a": "b"})
FINISHED = b"finished"


def content(size_bytes: int) -> bytes:
    """The bytes of the blob: every position differs from its neighbours'."""
    return bytes(range(251)) * (size_bytes // 251 + 1)


async def main() -> None:
    """Store the blob."""
    failpoints.arm(os.environ.get(failpoints.ENVIRONMENT_VARIABLE, ""))
    root, size_bytes, rich = Path(sys.argv[1]), int(sys.argv[2]), bool(int(sys.argv[3]))
    poor = {} if rich else {"unnamed_files": False, "attributes": False}
    store = FileStore(root, name="child", threads=2, **poor)
    data = memoryview(content(size_bytes))[:size_bytes]
    async with store.create(new_blob_id(EPOCH), Digester(("md5",))) as writer:
        for start in range(0, size_bytes, 100_000):
            await writer.write(data[start : start + 100_000])
        await writer.flush()
        await writer.finish(DESCRIPTION)
        os.write(1, FINISHED)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
