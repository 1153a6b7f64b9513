"""Requests of every S3 operation with another's name in every place where one can stand, made from S3's own model.

A member of any operation's input is either in ``NAMING`` or in ``NAMES_NOTHING``, and an operation has a line in
``DOCUMENTS``; ``test_plan.py`` fails when a table of the product knows one that is in neither.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence

from conformance.isolation.names import SHARED_BODY, SHARED_BUCKET, SHARED_KEY, Names
from conformance.isolation.wire import Request
from gateway.s3.model import load

ANNOTATION: Final = "note"
_RULE: Final = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 9}}
_ENCRYPTION: Final = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
_CORS: Final = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.com"]}]}
_TAGS: Final = {"TagSet": [{"Key": "k", "Value": "v"}]}
_NOBODY: Final[Mapping[str, Any]] = {}

# What each operation must be given besides a bucket and a key. An operation that is not here is not tested.
DOCUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "AbortMultipartUpload": {"UploadId": "0" * 32},
    "CompleteMultipartUpload": {
        "UploadId": "0" * 32,
        "MultipartUpload": {"Parts": [{"ETag": '"0123456789abcdef0123456789abcdef"', "PartNumber": 1}]},
    },
    "CopyObject": {"CopySource": f"{SHARED_BUCKET}/{SHARED_KEY}"},
    "CreateBucket": _NOBODY,
    "CreateMultipartUpload": _NOBODY,
    "DeleteBucket": _NOBODY,
    "DeleteBucketCors": _NOBODY,
    "DeleteBucketEncryption": _NOBODY,
    "DeleteBucketLifecycle": _NOBODY,
    "DeleteBucketOwnershipControls": _NOBODY,
    "DeleteBucketPolicy": _NOBODY,
    "DeleteBucketTagging": _NOBODY,
    "DeleteObject": _NOBODY,
    "DeleteObjectAnnotation": {"AnnotationName": ANNOTATION},
    "DeleteObjectTagging": _NOBODY,
    "DeleteObjects": {"Delete": {"Objects": [{"Key": "nothing"}]}},
    "DeletePublicAccessBlock": _NOBODY,
    "GetBucketAccelerateConfiguration": _NOBODY,
    "GetBucketAcl": _NOBODY,
    "GetBucketCors": _NOBODY,
    "GetBucketEncryption": _NOBODY,
    "GetBucketLifecycleConfiguration": _NOBODY,
    "GetBucketLocation": _NOBODY,
    "GetBucketLogging": _NOBODY,
    "GetBucketNotificationConfiguration": _NOBODY,
    "GetBucketOwnershipControls": _NOBODY,
    "GetBucketPolicy": _NOBODY,
    "GetBucketPolicyStatus": _NOBODY,
    "GetBucketReplication": _NOBODY,
    "GetBucketRequestPayment": _NOBODY,
    "GetBucketTagging": _NOBODY,
    "GetBucketVersioning": _NOBODY,
    "GetBucketWebsite": _NOBODY,
    "GetObject": _NOBODY,
    "GetObjectAcl": _NOBODY,
    "GetObjectAnnotation": {"AnnotationName": ANNOTATION},
    "GetObjectAttributes": {"ObjectAttributes": ["ETag", "ObjectSize"]},
    "GetObjectLegalHold": _NOBODY,
    "GetObjectLockConfiguration": _NOBODY,
    "GetObjectRetention": _NOBODY,
    "GetObjectTagging": _NOBODY,
    "GetPublicAccessBlock": _NOBODY,
    "HeadBucket": _NOBODY,
    "HeadObject": _NOBODY,
    "ListBuckets": _NOBODY,
    "ListMultipartUploads": _NOBODY,
    "ListObjectAnnotations": _NOBODY,
    "ListObjectVersions": _NOBODY,
    "ListObjects": _NOBODY,
    "ListObjectsV2": _NOBODY,
    "ListParts": {"UploadId": "0" * 32},
    "PutBucketAcl": {"ACL": "private"},
    "PutBucketCors": {"CORSConfiguration": _CORS},
    "PutBucketEncryption": {"ServerSideEncryptionConfiguration": _ENCRYPTION},
    "PutBucketLifecycleConfiguration": {"LifecycleConfiguration": {"Rules": [_RULE]}},
    "PutBucketLogging": {"BucketLoggingStatus": {}},
    "PutBucketNotificationConfiguration": {"NotificationConfiguration": {}},
    "PutBucketOwnershipControls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
    "PutBucketPolicy": {"Policy": '{"Version": "2012-10-17", "Statement": []}'},
    "PutBucketRequestPayment": {"RequestPaymentConfiguration": {"Payer": "BucketOwner"}},
    "PutBucketTagging": {"Tagging": _TAGS},
    "PutBucketVersioning": {"VersioningConfiguration": {"Status": "Suspended"}},
    "PutObject": {"Body": SHARED_BODY},
    "PutObjectAcl": {"ACL": "private"},
    "PutObjectAnnotation": {"AnnotationName": ANNOTATION, "AnnotationPayload": b"{}"},
    "PutObjectLegalHold": {"LegalHold": {"Status": "OFF"}},
    "PutObjectLockConfiguration": {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}},
    "PutObjectRetention": {"Retention": {}},
    "PutObjectTagging": {"Tagging": _TAGS},
    "PutPublicAccessBlock": {"PublicAccessBlockConfiguration": {"IgnorePublicAcls": True}},
    "UploadPart": {"UploadId": "0" * 32, "PartNumber": 1, "Body": SHARED_BODY},
    "UploadPartCopy": {"UploadId": "0" * 32, "PartNumber": 1, "CopySource": f"{SHARED_BUCKET}/{SHARED_KEY}"},
}


class Place(StrEnum):
    """Where the other's name stands."""

    BUCKET = "bucket in the path"
    KEY = "key in the path"
    UPLOAD = "upload id"
    VERSION = "version id"
    COPY_SOURCE = "copy source"
    COPY_KEY = "key of a copy source"
    COPY_VERSION = "version of a copy source"
    MARKER = "marker of a listing"
    PREFIX = "prefix of a listing"
    OWNER = "expected owner"
    GRANTEE = "grantee in a header"
    DOCUMENT = "document in the body"
    HOST = "host name"
    FORWARDED_HOST = "X-Forwarded-Host"


Fill = Callable[[Names], Any]


def _grant(names: Names) -> str:
    return f'id="{names.canonical_id}"'


NAMING: Final[Mapping[str, tuple[Place, Fill]]] = {
    "Bucket": (Place.BUCKET, lambda names: names.bucket),
    "ContinuationToken": (Place.MARKER, lambda names: names.continuation_token),
    "CopySource": (Place.COPY_SOURCE, lambda names: f"{names.bucket}/{quote(names.key)}"),
    "ExpectedBucketOwner": (Place.OWNER, lambda names: names.canonical_id),
    "ExpectedSourceBucketOwner": (Place.OWNER, lambda names: names.canonical_id),
    "GrantFullControl": (Place.GRANTEE, _grant),
    "GrantRead": (Place.GRANTEE, _grant),
    "GrantReadACP": (Place.GRANTEE, _grant),
    "GrantWrite": (Place.GRANTEE, lambda names: f'emailAddress="{names.email}"'),
    "GrantWriteACP": (Place.GRANTEE, _grant),
    "Key": (Place.KEY, lambda names: names.shared_key),
    "KeyMarker": (Place.MARKER, lambda names: names.shared_key),
    "Marker": (Place.MARKER, lambda names: names.shared_key),
    "Prefix": (Place.PREFIX, lambda names: names.shared_key),
    "StartAfter": (Place.MARKER, lambda names: names.shared_key),
    "UploadId": (Place.UPLOAD, lambda names: names.upload_id),
    "UploadIdMarker": (Place.MARKER, lambda names: names.upload_id),
    "VersionId": (Place.VERSION, lambda names: names.version_id),
    "VersionIdMarker": (Place.MARKER, lambda names: names.version_id),
}
# A marker that S3 takes only with another.
_WITH: Final = {"UploadIdMarker": "KeyMarker", "VersionIdMarker": "KeyMarker"}


def _policy(names: Names) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": names.canonical_id},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{SHARED_BUCKET}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _foreign_policy(names: Names) -> str:
    return _policy(names).replace(SHARED_BUCKET, names.bucket).replace(f'"{names.canonical_id}"', '"*"')


def _acl(names: Names) -> dict[str, Any]:
    grantee = {"Type": "CanonicalUser", "ID": names.canonical_id}
    return {"Owner": {"ID": names.canonical_id}, "Grants": [{"Grantee": grantee, "Permission": "READ"}]}


def _logging(names: Names) -> dict[str, Any]:
    return {"LoggingEnabled": {"TargetBucket": names.bucket, "TargetPrefix": "log/"}}


# Members whose documents name things.
DOCUMENTED: Final[Mapping[str, tuple[Fill, ...]]] = {
    "AccessControlPolicy": (_acl,),
    "BucketLoggingStatus": (_logging,),
    "Delete": (
        lambda names: {"Objects": [{"Key": names.shared_key}, {"Key": names.key}]},
        lambda names: {"Objects": [{"Key": SHARED_KEY, "VersionId": names.version_id}], "Quiet": True},
    ),
    "Policy": (_policy, _foreign_policy),
}

# Values, conditions and documents in which nothing of anybody is named.
_NAMES_NOTHING: Final = """
    ACL AnnotationDirective AnnotationName AnnotationPayload AnnotationPrefix Body BucketKeyEnabled BucketNamespace
    BucketRegion BypassGovernanceRetention CORSConfiguration CacheControl ChecksumAlgorithm ChecksumCRC32
    ChecksumCRC32C ChecksumCRC64NVME ChecksumMD5 ChecksumMode ChecksumSHA1 ChecksumSHA256 ChecksumSHA512
    ChecksumType ChecksumXXHASH128 ChecksumXXHASH3 ChecksumXXHASH64 ConfirmRemoveSelfBucketAccess ContentDisposition
    ContentEncoding ContentLanguage ContentLength ContentMD5 ContentType CopySourceIfMatch CopySourceIfModifiedSince
    CopySourceIfNoneMatch CopySourceIfUnmodifiedSince CopySourceRange CopySourceSSECustomerAlgorithm
    CopySourceSSECustomerKey CopySourceSSECustomerKeyMD5 CreateBucketConfiguration Delimiter EncodingType Expires
    FetchOwner IfMatch IfMatchInitiatedTime IfMatchLastModifiedTime IfMatchSize IfModifiedSince IfNoneMatch
    IfUnmodifiedSince LegalHold LifecycleConfiguration MFA MaxAnnotationResults MaxBuckets MaxKeys MaxParts
    MaxUploads Metadata MetadataDirective MpuObjectSize MultipartUpload NotificationConfiguration ObjectAttributes
    ObjectIfMatch ObjectLockConfiguration ObjectLockEnabledForBucket ObjectLockEventHold
    ObjectLockEventHoldDurationDays ObjectLockEventHoldDurationYears ObjectLockLegalHoldStatus ObjectLockMode
    ObjectLockRetainUntilDate ObjectOwnership OptionalObjectAttributes OwnershipControls PartNumber PartNumberMarker
    PublicAccessBlockConfiguration Range RequestPayer RequestPaymentConfiguration ResponseCacheControl
    ResponseContentDisposition ResponseContentEncoding ResponseContentLanguage ResponseContentType ResponseExpires
    Retention SSECustomerAlgorithm SSECustomerKey SSECustomerKeyMD5 SSEKMSEncryptionContext SSEKMSKeyId
    ServerSideEncryption ServerSideEncryptionConfiguration SkipDestinationValidation StorageClass Tagging
    TaggingDirective Token TransitionDefaultMinimumObjectSize VersioningConfiguration WebsiteRedirectLocation
    WriteOffsetBytes
"""
NAMES_NOTHING: Final = frozenset(_NAMES_NOTHING.split())


@dataclass(frozen=True, slots=True)
class Cell:
    """One request about another's things; ``make`` gives it for any names."""

    place: Place
    detail: str
    make: Callable[[Names], Request]


def cells(operation: str) -> Iterator[Cell]:
    """Every way in which an operation's input can name what is another's."""
    members = {member.name for member in load()[operation].input.members}
    base = DOCUMENTS[operation]
    for member in sorted(members):
        if member in DOCUMENTED:
            for number, fill in enumerate(DOCUMENTED[member]):
                yield _cell(operation, Place.DOCUMENT, f"{member} {number}", lambda n, m=member, f=fill: {m: f(n)})
        elif member == "Bucket":
            yield _cell(operation, Place.BUCKET, member, lambda n: _all_of(members, base, n))
        elif member in NAMING:
            place, fill = NAMING[member]
            yield _cell(operation, place, member, lambda n, m=member, f=fill: _with_companion(m, f(n), n))
    if (member := "CopySource") in members:
        yield _cell(
            operation, Place.COPY_KEY, "CopySource", lambda n: {"CopySource": f"{SHARED_BUCKET}/{n.shared_key}"}
        )
        version = f"{SHARED_BUCKET}/{SHARED_KEY}?versionId="
        yield _cell(operation, Place.COPY_VERSION, "CopySource", lambda n: {"CopySource": version + n.version_id})


def plain(operation: str, **members: Any) -> Request:
    """An operation on what is the caller's own."""
    return _request(operation, members)


def _cell(operation: str, place: Place, detail: str, params: Callable[[Names], dict[str, Any]]) -> Cell:
    return Cell(place, detail, lambda names: _request(operation, params(names)))


def _all_of(members: set[str], base: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The other's bucket, and in it the other's key, version and upload."""
    found: dict[str, Any] = {"Bucket": names.bucket}
    if "Key" in members:
        found["Key"] = names.key
    if "UploadId" in base:
        found["UploadId"] = names.upload_id
    if "Delete" in base:
        found["Delete"] = {"Objects": [{"Key": names.key}]}
    return found


def _with_companion(member: str, value: Any, names: Names) -> dict[str, Any]:
    found = {member: value}
    if (companion := _WITH.get(member)) is not None:
        found[companion] = names.shared_key
    if member.startswith("Grant"):
        found["ACL"] = None
    return found


@cache
def _service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")


def _request(operation: str, given: Mapping[str, Any]) -> Request:
    model = load()[operation]
    members = {member.name for member in model.input.members}
    params = {name: value for name, value in {"Bucket": SHARED_BUCKET, "Key": SHARED_KEY}.items() if name in members}
    params |= {**DOCUMENTS[operation], **given}
    # a document and a canned ACL exclude each other
    if "AccessControlPolicy" in given:
        params.pop("ACL", None)
    wanted = {name: value for name, value in params.items() if value is not None}
    serialised = create_serializer("rest-xml").serialize_to_request(wanted, _service().operation_model(operation))
    body = serialised["body"] or b""
    body = body.encode() if isinstance(body, str) else body
    headers = dict(serialised["headers"])
    if model.checksum_required:
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    query = percent_encode_sequence(serialised["query_string"])
    path = serialised["url_path"]
    if query:
        path += ("&" if "?" in path else "?") + query
    return Request(serialised["method"], path, tuple(headers.items()), body)


def forwarded(request: Request, host: str) -> Request:
    """The same request, saying that a proxy had it for another host."""
    return replace(request, headers=(*request.headers, ("X-Forwarded-Host", host)))
