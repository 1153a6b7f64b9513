"""The actions a bucket policy may name
(https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html)."""

from typing import Final

from gateway.access_policy.patterns import matches, pattern

_NAMES: Final = """
    AbortMultipartUpload BypassGovernanceRetention CreateBucket DeleteBucket DeleteBucketOwnershipControls
    DeleteBucketPolicy DeleteBucketWebsite DeleteObject DeleteObjectAnnotation DeleteObjectTagging
    DeleteObjectVersion DeleteObjectVersionTagging GetAccelerateConfiguration GetAnalyticsConfiguration
    GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging GetBucketNotification
    GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus
    GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite
    GetEncryptionConfiguration GetIntelligentTieringConfiguration GetInventoryConfiguration
    GetLifecycleConfiguration GetMetricsConfiguration GetObject GetObjectAcl GetObjectAnnotation
    GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent GetObjectVersion
    GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging
    GetObjectVersionTorrent GetReplicationConfiguration InitiateReplication ListAllMyBuckets ListBucket
    ListBucketMultipartUploads ListBucketVersions ListMultipartUploadParts ListObjectAnnotations
    ObjectOwnerOverrideToBucketOwner PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAcl
    PutBucketCORS PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration
    PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock PutBucketRequestPayment
    PutBucketTagging PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration
    PutIntelligentTieringConfiguration PutInventoryConfiguration PutLifecycleConfiguration
    PutMetricsConfiguration PutObject PutObjectAcl PutObjectAnnotation PutObjectLegalHold PutObjectRetention
    PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging PutReplicationConfiguration ReplicateDelete
    ReplicateObject ReplicateTags RestoreObject UpdateObjectEncryption
"""
ACTIONS: Final = frozenset(f"s3:{name}" for name in _NAMES.split())
_LOWERED: Final = frozenset(action.lower() for action in ACTIONS)


def names_an_action(text: str) -> bool:
    """Is there an action that this pattern of a policy fits? Case does not count."""
    lowered = text.lower()
    return lowered in _LOWERED or any(matches(pattern(lowered, variables=False), action) for action in _LOWERED)
