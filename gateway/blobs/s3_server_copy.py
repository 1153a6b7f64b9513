"""Copying inside an S3 store: one request, or an upload whose parts are ranges of the source; blocks."""

import contextlib
from collections.abc import Mapping
from typing import Any

from gateway.blobs.s3_client import S3Client
from gateway.blobs.s3_keys import PART_BYTES
from gateway.errors import StorageError


def server_copy(
    client: S3Client, source: str, target: str, head: Mapping[str, Any], metadata: Mapping[str, str]
) -> None:
    """Copy ``source``, whose HEAD was answered with ``head``, to ``target`` with other user metadata.

    Raises FileNotFoundError when the source is gone, StorageError otherwise; a failure leaves no target.
    """
    size_bytes, etag = int(head["ContentLength"]), head["ETag"]
    origin = {"CopySource": {"Bucket": client.options.bucket, "Key": source}, "CopySourceIfMatch": etag}
    kept = dict(metadata)
    if size_bytes <= client.options.copy_max_bytes:
        if PART_BYTES in head.get("Metadata", {}):  # where the copy keeps the ETag of the source
            kept[PART_BYTES] = head["Metadata"][PART_BYTES]
        client.call("CopyObject", Key=target, **origin, Metadata=kept, MetadataDirective="REPLACE")
        return
    step_bytes = client.options.copy_max_bytes
    kept[PART_BYTES] = str(step_bytes)
    upload_id = client.call("CreateMultipartUpload", Key=target, Metadata=kept)["UploadId"]
    try:
        parts = []
        for number, start in enumerate(range(0, size_bytes, step_bytes), start=1):
            span = f"bytes={start}-{min(start + step_bytes, size_bytes) - 1}"
            answer = client.call(
                "UploadPartCopy", Key=target, UploadId=upload_id, PartNumber=number, CopySourceRange=span, **origin
            )
            parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        try:
            client.call("CompleteMultipartUpload", Key=target, UploadId=upload_id, MultipartUpload={"Parts": parts})
        except FileNotFoundError:
            # A repeated completion: is it the one whose answer was lost?
            if int(client.call("HeadObject", Key=target)["ContentLength"]) != size_bytes:
                raise StorageError("InternalError") from None
    except BaseException:
        with contextlib.suppress(StorageError, OSError):
            client.call("AbortMultipartUpload", Key=target, UploadId=upload_id, attempts=1)
        raise
