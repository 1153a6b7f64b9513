"""The one list of operations that have a handler. Everything else S3 knows is recognised and answers NotImplemented.

The compatibility table of the README is generated from it. ``policy_name`` is what ``storage.operation()`` returns
inside a policy; names that Supabase has are Supabase's, because policies written for it ask for them.
"""

from typing import Final

from gateway.operations import (
    access_control,
    bucket_encryption,
    bucket_policies,
    buckets,
    configuration,
    copying,
    cors,
    deletion,
    fixed,
    lifecycle,
    listing,
    multipart,
    object_lock,
    objects,
    tagging,
    uploads_listing,
    versions,
)
from gateway.operations.operation import Handler, Operation
from gateway.operations.restricted import restricted
from gateway.operations.shapes import INPUTS, OUTPUTS


def _operation(name: str, policy_name: str, handler: Handler) -> Operation:
    return Operation(name, policy_name, INPUTS[name], OUTPUTS[name], restricted(name, handler))


OPERATIONS: Final = (
    # buckets
    _operation("ListBuckets", "storage.s3.bucket.list", buckets.list_buckets),
    _operation("CreateBucket", "storage.s3.bucket.create", buckets.create_bucket),
    _operation("HeadBucket", "storage.s3.bucket.get", buckets.head_bucket),
    _operation("DeleteBucket", "storage.s3.bucket.delete", buckets.delete_bucket),
    _operation("GetBucketLocation", "storage.s3.bucket.get_location", buckets.get_bucket_location),
    # objects
    _operation("PutObject", "storage.s3.upload", objects.put_object),
    _operation("GetObject", "storage.s3.object.get", objects.get_object),
    _operation("HeadObject", "storage.s3.object.info", objects.head_object),
    _operation("GetObjectAttributes", "storage.s3.object.info", objects.get_object_attributes),
    _operation("DeleteObject", "storage.s3.object.delete", deletion.delete_object),
    _operation("DeleteObjects", "storage.s3.object.delete_many", deletion.delete_objects),
    _operation("CopyObject", "storage.s3.object.copy", copying.copy_object),
    # listings
    _operation("ListObjects", "storage.s3.object.list", listing.list_objects),
    _operation("ListObjectsV2", "storage.s3.object.list_v2", listing.list_objects_v2),
    _operation("ListObjectVersions", "storage.s3.object.list_versions", versions.list_object_versions),
    # multipart
    _operation("CreateMultipartUpload", "storage.s3.upload.create", multipart.create_multipart_upload),
    _operation("UploadPart", "storage.s3.upload.part", multipart.upload_part),
    _operation("UploadPartCopy", "storage.s3.upload.part_copy", multipart.upload_part_copy),
    _operation("CompleteMultipartUpload", "storage.s3.upload.complete", multipart.complete_multipart_upload),
    _operation("AbortMultipartUpload", "storage.s3.upload.abort", multipart.abort_multipart_upload),
    _operation("ListParts", "storage.s3.upload.list_parts", multipart.list_parts),
    _operation("ListMultipartUploads", "storage.s3.upload.list", uploads_listing.list_multipart_uploads),
    # configurations of buckets
    _operation("GetBucketEncryption", "storage.s3.bucket.get_encryption", bucket_encryption.get_bucket_encryption),
    _operation("PutBucketEncryption", "storage.s3.bucket.put_encryption", bucket_encryption.put_bucket_encryption),
    _operation(
        "DeleteBucketEncryption", "storage.s3.bucket.delete_encryption", bucket_encryption.delete_bucket_encryption
    ),
    # lifecycle
    _operation("PutBucketLifecycleConfiguration", "storage.s3.bucket.put_lifecycle", lifecycle.put_bucket_lifecycle),
    _operation("GetBucketLifecycleConfiguration", "storage.s3.bucket.get_lifecycle", lifecycle.get_bucket_lifecycle),
    _operation("DeleteBucketLifecycle", "storage.s3.bucket.delete_lifecycle", lifecycle.delete_bucket_lifecycle),
    # tags
    _operation("GetObjectTagging", "storage.s3.object.get_tagging", tagging.get_object_tagging),
    _operation("PutObjectTagging", "storage.s3.object.put_tagging", tagging.put_object_tagging),
    _operation("DeleteObjectTagging", "storage.s3.object.delete_tagging", tagging.delete_object_tagging),
    _operation("GetBucketTagging", "storage.s3.bucket.get_tagging", tagging.get_bucket_tagging),
    _operation("PutBucketTagging", "storage.s3.bucket.put_tagging", tagging.put_bucket_tagging),
    _operation("DeleteBucketTagging", "storage.s3.bucket.delete_tagging", tagging.delete_bucket_tagging),
    # cross-origin rules
    _operation("GetBucketCors", "storage.s3.bucket.get_cors", cors.get_bucket_cors),
    _operation("PutBucketCors", "storage.s3.bucket.put_cors", cors.put_bucket_cors),
    _operation("DeleteBucketCors", "storage.s3.bucket.delete_cors", cors.delete_bucket_cors),
    # configurations with one possible value
    _operation("PutBucketRequestPayment", "storage.s3.bucket.put_payment", fixed.put_bucket_request_payment),
    _operation("PutBucketLogging", "storage.s3.bucket.put_logging", fixed.put_bucket_logging),
    _operation(
        "PutBucketNotificationConfiguration", "storage.s3.bucket.put_notification", fixed.put_bucket_notification
    ),
    _operation("GetBucketVersioning", "storage.s3.bucket.get_versioning", versions.get_bucket_versioning),
    _operation("PutBucketVersioning", "storage.s3.bucket.put_versioning", versions.put_bucket_versioning),
    # who may do what
    _operation("GetBucketAcl", "storage.s3.bucket.get_acl", access_control.get_bucket_acl),
    _operation("PutBucketAcl", "storage.s3.bucket.put_acl", access_control.put_bucket_acl),
    _operation("GetObjectAcl", "storage.s3.object.get_acl", access_control.get_object_acl),
    _operation("PutObjectAcl", "storage.s3.object.put_acl", access_control.put_object_acl),
    _operation("GetBucketPolicy", "storage.s3.bucket.get_policy", bucket_policies.get_bucket_policy),
    _operation("PutBucketPolicy", "storage.s3.bucket.put_policy", bucket_policies.put_bucket_policy),
    _operation("DeleteBucketPolicy", "storage.s3.bucket.delete_policy", bucket_policies.delete_bucket_policy),
    _operation(
        "GetBucketPolicyStatus", "storage.s3.bucket.get_policy_status", bucket_policies.get_bucket_policy_status
    ),
    _operation("GetPublicAccessBlock", "storage.s3.bucket.get_public_access", bucket_policies.get_public_access_block),
    _operation("PutPublicAccessBlock", "storage.s3.bucket.put_public_access", bucket_policies.put_public_access_block),
    _operation(
        "DeletePublicAccessBlock",
        "storage.s3.bucket.delete_public_access",
        bucket_policies.delete_public_access_block,
    ),
    _operation(
        "GetBucketOwnershipControls", "storage.s3.bucket.get_ownership", bucket_policies.get_bucket_ownership_controls
    ),
    _operation(
        "PutBucketOwnershipControls", "storage.s3.bucket.put_ownership", bucket_policies.put_bucket_ownership_controls
    ),
    _operation(
        "DeleteBucketOwnershipControls",
        "storage.s3.bucket.delete_ownership",
        bucket_policies.delete_bucket_ownership_controls,
    ),
    # sub-resources nobody has configured
    _operation("GetBucketRequestPayment", "storage.s3.bucket.get_payment", configuration.get_bucket_request_payment),
    _operation("GetBucketLogging", "storage.s3.bucket.get_logging", configuration.get_bucket_logging),
    _operation(
        "GetBucketNotificationConfiguration",
        "storage.s3.bucket.get_notification",
        configuration.get_bucket_notification,
    ),
    _operation(
        "GetBucketAccelerateConfiguration", "storage.s3.bucket.get_accelerate", configuration.get_bucket_accelerate
    ),
    _operation(
        "GetObjectLockConfiguration", "storage.s3.bucket.get_object_lock", object_lock.get_object_lock_configuration
    ),
    _operation("GetObjectRetention", "storage.s3.object.get_retention", object_lock.get_object_retention),
    _operation("GetObjectLegalHold", "storage.s3.object.get_legal_hold", object_lock.get_object_legal_hold),
    _operation(
        "PutObjectLockConfiguration", "storage.s3.bucket.put_object_lock", object_lock.put_object_lock_configuration
    ),
    _operation("PutObjectRetention", "storage.s3.object.put_retention", object_lock.put_object_retention),
    _operation("PutObjectLegalHold", "storage.s3.object.put_legal_hold", object_lock.put_object_legal_hold),
    _operation("GetBucketReplication", "storage.s3.bucket.get_replication", configuration.get_bucket_replication),
    _operation("GetBucketWebsite", "storage.s3.bucket.get_website", configuration.get_bucket_website),
)
