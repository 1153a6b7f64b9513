"""Which of S3's operations Rowlock serves; every other one of the model must answer NotImplemented.

Moving a name into SERVED is part of building its handler.
"""

from typing import Final

SERVED: Final = frozenset(
    {
        "DeleteBucketEncryption", "PutBucketEncryption",
        "DeleteBucketLifecycle", "PutBucketLifecycleConfiguration", "PutBucketLogging",
        "PutBucketNotificationConfiguration", "PutBucketRequestPayment",
        "DeleteBucketCors", "DeleteBucketTagging", "DeleteObjectTagging", "PutBucketCors", "PutBucketTagging",
        "PutObjectTagging",
        "DeleteBucketOwnershipControls", "DeleteBucketPolicy", "DeletePublicAccessBlock", "PutBucketAcl",
        "PutBucketOwnershipControls", "PutBucketPolicy", "PutObjectAcl", "PutPublicAccessBlock",
        "GetObjectAttributes", "GetObjectLegalHold", "GetObjectRetention",
        "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateBucket", "CreateMultipartUpload",
        "DeleteBucket", "DeleteObject", "DeleteObjects", "GetBucketAccelerateConfiguration", "GetBucketAcl",
        "GetBucketCors", "GetBucketEncryption", "GetBucketLifecycleConfiguration", "GetBucketLocation",
        "GetBucketLogging", "GetBucketNotificationConfiguration", "GetBucketOwnershipControls", "GetBucketPolicy",
        "GetBucketPolicyStatus", "GetBucketReplication", "GetBucketRequestPayment", "GetBucketTagging",
        "GetBucketVersioning", "GetBucketWebsite", "GetObject", "GetObjectAcl", "GetObjectLockConfiguration",
        "GetObjectTagging", "GetPublicAccessBlock", "HeadBucket", "HeadObject", "ListBuckets", "ListMultipartUploads",
        "ListObjectVersions", "ListObjects", "ListObjectsV2", "ListParts", "PutObject", "UploadPart", "UploadPartCopy",
        "DeleteObjectAnnotation", "GetObjectAnnotation", "ListObjectAnnotations", "PutObjectAnnotation",
        "PutBucketVersioning", "PutObjectLegalHold", "PutObjectLockConfiguration", "PutObjectRetention",
    }
)  # fmt: skip

# Names of the model that share method and address with a served one, or that live at another address than ours.
SHADOWED: Final = frozenset(
    {
        "GetBucketLifecycle",
        "GetBucketNotification",
        "ListDirectoryBuckets",
        "PutBucketLifecycle",
        "PutBucketNotification",
        # lives on a host of its own; as a path it is a bucket of an impossible name
        "WriteGetObjectResponse",
    }
)
