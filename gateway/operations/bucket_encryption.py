"""PutBucketEncryption, GetBucketEncryption, DeleteBucketEncryption: what new objects get that ask for nothing
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-encryption.html).

The document of the configuration is ``{"algorithm", "kms_key_id", "bucket_key_enabled"}``. Writes compare it with what
they assumed in the committing transaction (``rowlock.require_encryption``), so a change holds for the next write.
"""

from typing import Any

from gateway.context import Call
from gateway.encryption.keys import SSE_KMS, SSE_S3
from gateway.errors import StorageError
from gateway.metadata import configurations
from gateway.metadata.configurations import Kind
from gateway.operations import access, encryption_headers
from gateway.operations.services import Services
from gateway.operations.shapes import (
    DeleteBucketEncryptionInput,
    DeleteBucketEncryptionOutput,
    GetBucketEncryptionInput,
    GetBucketEncryptionOutput,
    PutBucketEncryptionInput,
    PutBucketEncryptionOutput,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
)


async def put_bucket_encryption(
    services: Services, call: Call, asked: PutBucketEncryptionInput
) -> PutBucketEncryptionOutput:
    """Set the default. Raises MalformedXML, InvalidArgument, KMS.NotFoundException, NotImplemented."""
    document = _document(services, asked.server_side_encryption_configuration)
    await access.require_bucket(services, call, asked.bucket)
    await configurations.put(services.session, call.scope, asked.bucket, Kind.ENCRYPTION, document)
    services.encryption.defaults.note(asked.bucket, document)
    return PutBucketEncryptionOutput()


async def get_bucket_encryption(
    services: Services, call: Call, asked: GetBucketEncryptionInput
) -> GetBucketEncryptionOutput:
    """The default. Raises ServerSideEncryptionConfigurationNotFoundError for none."""
    document, _ = await configurations.find(services.session, call.scope, asked.bucket, Kind.ENCRYPTION)
    if document is None:
        await access.require_bucket(services, call, asked.bucket)
        raise StorageError("ServerSideEncryptionConfigurationNotFoundError", BucketName=asked.bucket)
    rule = ServerSideEncryptionRule(
        apply_server_side_encryption_by_default=ServerSideEncryptionByDefault(
            sse_algorithm=document["algorithm"], kms_master_key_id=document.get("kms_key_id")
        ),
        bucket_key_enabled=document.get("bucket_key_enabled", False),
    )
    return GetBucketEncryptionOutput(
        server_side_encryption_configuration=ServerSideEncryptionConfiguration(rules=(rule,))
    )


async def delete_bucket_encryption(
    services: Services, call: Call, asked: DeleteBucketEncryptionInput
) -> DeleteBucketEncryptionOutput:
    """Remove the default; none is no error."""
    await access.require_bucket(services, call, asked.bucket)
    await configurations.delete(services.session, call.scope, asked.bucket, Kind.ENCRYPTION)
    services.encryption.defaults.note(asked.bucket, None)
    return DeleteBucketEncryptionOutput()


def _document(services: Services, configuration: ServerSideEncryptionConfiguration) -> dict[str, Any]:
    if len(configuration.rules) != 1:
        raise StorageError("MalformedXML")
    [rule] = configuration.rules
    if rule.blocked_encryption_types is not None and set(rule.blocked_encryption_types.encryption_type) - {"NONE"}:
        raise StorageError("NotImplemented", Element="BlockedEncryptionTypes")
    default = rule.apply_server_side_encryption_by_default
    if default is None:
        raise StorageError("MalformedXML")
    if default.sse_algorithm == SSE_S3:
        if default.kms_master_key_id is not None:
            raise StorageError(
                "InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms"
            )
        return {"algorithm": SSE_S3}
    if default.sse_algorithm in encryption_headers.NOT_OFFERED:
        raise StorageError("NotImplemented", Element="SSEAlgorithm")
    if default.sse_algorithm != SSE_KMS:
        raise StorageError("MalformedXML")
    document = {
        "algorithm": SSE_KMS,
        "kms_key_id": encryption_headers.kms_key_id(services.encryption, default.kms_master_key_id),
    }
    return {**document, "bucket_key_enabled": True} if rule.bucket_key_enabled else document
