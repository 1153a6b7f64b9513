"""S3's own service model, compiled from botocore's raw data into frozen records (DESIGN §2 rule 5).

Loaded raw, never through a client: a client rewrites URIs. What the model lacks or gets wrong is in the overlay
tables below, one reason a line; everything else about the wire follows from the model.
"""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from functools import cache
from typing import Any, Final

from botocore.loaders import Loader

S3_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024 * KIBIBYTE


class Kind(StrEnum):
    """What a shape holds; ``integer`` covers the model's long as well."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    STRUCTURE = "structure"
    LIST = "list"
    MAP = "map"
    BLOB = "blob"


class Location(Enum):
    """Where a member travels. ``METADATA`` is the ``x-amz-meta-`` family of headers."""

    URI = "uri"
    QUERY = "querystring"
    HEADER = "header"
    METADATA = "headers"
    BODY = None


class Target(StrEnum):
    """What a request is addressed to; the values are AWS's ``ResourceType`` words."""

    SERVICE = "SERVICE"
    BUCKET = "BUCKET"
    OBJECT = "OBJECT"


class Body(Enum):
    """What the request's body is: nothing, bytes to store, an XML document, or a document kept as text."""

    NONE = "none"
    STREAM = "stream"
    XML = "xml"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Shape:
    """One type of the model. ``item`` is a list's element type, ``max_items`` its greatest length."""

    name: str
    kind: Kind
    members: tuple["Member", ...] = ()
    payload: str | None = None
    item: "Shape | None" = None
    item_name: str = "member"
    flattened: bool = False
    enum: frozenset[str] = frozenset()
    timestamp_format: str | None = None
    maximum: int | None = None
    max_items: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure: its name in the model, on the wire and as a dataclass field."""

    name: str
    field: str
    wire_name: str
    location: Location
    shape: Shape
    required: bool = False
    attribute: bool = False


@dataclass(frozen=True, slots=True)
class OperationModel:
    """One operation as the wire shows it.

    ``selectors`` are the query parameters of its URI (value None: any value); ``required_query`` and
    ``required_headers`` are the members that set it apart from operations with the same URI; ``query_names`` are all
    the parameters that mean something to it. ``body_checksum``: its x-amz-checksum-* headers are about the body (those
    of CompleteMultipartUpload are about the object).
    """

    name: str
    method: str
    target: Target
    input: Shape
    output: Shape
    selectors: tuple[tuple[str, str | None], ...] = ()
    required_query: frozenset[str] = frozenset()
    required_headers: frozenset[str] = frozenset()
    status: int = 200
    body: Body = Body.NONE
    root: str | None = None
    body_checksum: bool = False
    checksum_required: bool = False
    max_document_bytes: int = MEBIBYTE

    query_names: frozenset[str] = frozenset()


# --- overlay: what the model lacks or gets wrong -------------------------------------------------------------

# Same wire form as a newer operation, which answers in their place; directory buckets live on another host.
SAME_WIRE_FORM: Final[Mapping[str, str]] = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}

# S3 keeps and returns these as it was given them, valid date or not (the model says timestamp).
OPAQUE_TEXT: Final = frozenset({"Expires", "ResponseExpires"})

# Regions are ours to name, and S3 answers InvalidLocationConstraint for a wrong one, not MalformedXML. A wrong method
# of encryption is refused only after a bucket policy that denies it.
OPEN_ENUMS: Final = frozenset({"BucketLocationConstraint", "ServerSideEncryption"})

# Periods: S3 answers a negative one as it answers zero, with the operation's own code, not MalformedXML.
SIGNED: Final = frozenset({"Days", "Years"})

# S3 refuses these documents without the member, the model calls it optional.
REQUIRED: Final = frozenset(
    {
        ("CompleteMultipartUploadRequest", "MultipartUpload"),
        ("CompletedMultipartUpload", "Parts"),
        ("CompletedPart", "ETag"),
        ("CompletedPart", "PartNumber"),
    }
)

# Headers the model lacks: S3 refuses a method of encryption on reads, so handlers must see it, and an answer to a
# completion tells it as those to parts do. Structure and member, and the structure that has the same member.
EXTRA_MEMBERS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "CompleteMultipartUploadOutput": (
        ("SSECustomerAlgorithm", "UploadPartOutput"),
        ("SSECustomerKeyMD5", "UploadPartOutput"),
    ),
    # its page asks for the header, the model forgets it
    "DeleteObjectAnnotationRequest": (("BypassGovernanceRetention", "DeleteObjectRequest"),),
    "GetObjectRequest": (("ServerSideEncryption", "PutObjectRequest"),),
    "HeadObjectRequest": (("ServerSideEncryption", "PutObjectRequest"),),
}

# Documented limits of lists: API_DeleteObjects, "Setting a lifecycle configuration", "Multipart upload limits".
MAX_ITEMS: Final[Mapping[str, int]] = {
    "CompletedPartList": 10_000,
    "LifecycleRules": 1_000,
    "ObjectIdentifierList": 1_000,
}

# Documents that are long by nature: 1,000 keys of 1,024 bytes, 10,000 parts with checksums, 1,000 rules with tags.
MAX_DOCUMENT_BYTES: Final[Mapping[str, int]] = {
    "CompleteMultipartUpload": 2 * MEBIBYTE,
    "DeleteObjects": 2 * MEBIBYTE,
    # API_PutBucketCors
    "PutBucketCors": 64 * KIBIBYTE,
    "PutBucketLifecycleConfiguration": 2 * MEBIBYTE,
}

# Root elements of answers: the model names shapes, not elements (response syntax of each API page).
ROOTS: Final[Mapping[str, str]] = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectAnnotations": "ListObjectAnnotationsOutput",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
    "PutObjectAnnotation": "PutObjectAnnotationOutput",
}

# What the model does not say: these answer 204 (response syntax of their pages).
STATUSES: Final[Mapping[str, int]] = {"PutBucketPolicy": 204}

# Members that ``encoding-type=url`` applies to (API_ListObjectsV2, EncodingType), by listing and structure.
_LISTED: Final = frozenset({"Delimiter", "Prefix"})
URL_ENCODED: Final[Mapping[str, frozenset[str]]] = {
    "ListMultipartUploads": _LISTED | {"KeyMarker", "NextKeyMarker", "Key"},
    "ListObjectVersions": _LISTED | {"KeyMarker", "NextKeyMarker", "Key"},
    "ListObjects": _LISTED | {"Marker", "NextMarker", "Key"},
    "ListObjectsV2": _LISTED | {"StartAfter", "Key"},
}

# Version 1 echoes the request's prefix as it came: SDKs decode common prefixes there, but not this.
NOT_ENCODED_AT_ROOT: Final[Mapping[str, frozenset[str]]] = {"ListObjects": frozenset({"Prefix"})}

# Without a document these are MalformedXML, not MissingRequestBodyError.
EMPTY_IS_MALFORMED: Final = frozenset({"CompleteMultipartUpload"})

# The one answer whose ETag element is without quotes.
UNQUOTED_ETAG: Final = frozenset({"GetObjectAttributes"})

# Query names that other stores give a meaning to that overwrites or appends; obeying them as a plain PUT or DELETE
# would destroy data, so they are refused: Alibaba OSS append, Google's compose, defaultObjectAcl and friends.
FOREIGN_SELECTORS: Final = frozenset({"append", "compose", "defaultObjectAcl", "storageClass", "websiteConfig"})

_EMPTY: Final = Shape("Empty", Kind.STRUCTURE)

# In S3 but not in the model: the browser's form upload, and the CORS preflight.
OVERLAY_OPERATIONS: Final = (
    OperationModel("PostObject", "POST", Target.BUCKET, _EMPTY, _EMPTY, status=204, body=Body.STREAM),
    OperationModel("OptionsObject", "OPTIONS", Target.OBJECT, _EMPTY, _EMPTY),
)

# --- compilation ---------------------------------------------------------------------------------------------

_WORDS: Final = (("ETag", "Etag"), ("SSEKMS", "SseKms"), ("SSES3", "SseS3"), ("MD5", "Md5"))


def field_name(member: str) -> str:
    """The dataclass field of a model member: ``SSECustomerKeyMD5`` is ``sse_customer_key_md5``, ``And`` is ``and_``."""
    for word, spelled in _WORDS:
        member = member.replace(word, spelled)
    member = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", member)
    member = re.sub(r"([a-z])([A-Z])", r"\1_\2", member)
    name = re.sub(r"([0-9])([A-Z][a-z])", r"\1_\2", member).lower()
    return f"{name}_" if keyword.iskeyword(name) else name


_INTEGER_MAXIMUM: Final = {"integer": 2**31 - 1, "long": 2**63 - 1}


class _Compiler:
    """Turns the raw shapes into :class:`Shape`, each once. S3's model has no recursive shapes."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._done: dict[str, Shape] = {}

    def shape(self, name: str) -> Shape:
        if name not in self._done:
            self._done[name] = self._compile(name, self._raw[name])
        return self._done[name]

    def _compile(self, name: str, raw: Mapping[str, Any]) -> Shape:
        if name in OPAQUE_TEXT:
            return Shape(name, Kind.STRING)
        kind = Kind("integer" if raw["type"] == "long" else raw["type"])
        shape = Shape(
            name,
            kind,
            enum=frozenset(() if name in OPEN_ENUMS else raw.get("enum", ())),
            timestamp_format=raw.get("timestampFormat"),
            maximum=_INTEGER_MAXIMUM.get(raw["type"]),
        )
        if kind is Kind.STRUCTURE:
            return replace(shape, members=self._members(name, raw), payload=raw.get("payload"))
        if kind is Kind.LIST:
            item = raw["member"]
            return replace(
                shape,
                item=self.shape(item["shape"]),
                item_name=item.get("locationName", "member"),
                flattened=raw.get("flattened", False),
                max_items=MAX_ITEMS.get(name),
            )
        return shape

    def _members(self, structure: str, raw: Mapping[str, Any]) -> tuple[Member, ...]:
        required = set(raw.get("required", ()))
        extra = {name: self._raw[origin]["members"][name] for name, origin in EXTRA_MEMBERS.get(structure, ())}
        return tuple(
            Member(
                name=name,
                field=field_name(name),
                wire_name=member.get("locationName", name),
                location=Location(member.get("location")),
                shape=self._member_shape(member),
                required=name in required or (structure, name) in REQUIRED,
                attribute=member.get("xmlAttribute", False),
            )
            for name, member in (raw["members"] | extra).items()
        )

    def _member_shape(self, member: Mapping[str, Any]) -> Shape:
        shape = self.shape(member["shape"])
        # A few lists are flattened where they are used, not where they are defined.
        return replace(shape, flattened=True) if member.get("flattened") and not shape.flattened else shape


def _target(path: str) -> Target:
    if "{Key+}" in path:
        return Target.OBJECT
    return Target.SERVICE if path == "/" else Target.BUCKET


def _body(shape: Shape) -> Body:
    payload = next((member for member in shape.members if member.name == shape.payload), None)
    if payload is None:
        return Body.NONE
    return {Kind.BLOB: Body.STREAM, Kind.STRUCTURE: Body.XML}.get(payload.shape.kind, Body.TEXT)


def _operation(name: str, raw: Mapping[str, Any], compiler: _Compiler) -> OperationModel:
    path, _, query = raw["http"]["requestUri"].partition("?")
    selectors = tuple(
        (key, value if equals else None)
        for key, equals, value in (pair.partition("=") for pair in query.split("&") if pair)
    )
    given = compiler.shape(raw["input"]["shape"]) if "input" in raw else _EMPTY
    required = [member for member in given.members if member.required]
    return OperationModel(
        name=name,
        method=raw["http"]["method"],
        target=_target(path),
        input=given,
        output=compiler.shape(raw["output"]["shape"]) if "output" in raw else _EMPTY,
        selectors=selectors,
        required_query=frozenset(m.wire_name for m in required if m.location is Location.QUERY),
        required_headers=frozenset(m.wire_name.lower() for m in required if m.location is Location.HEADER),
        status=STATUSES.get(name, raw["http"].get("responseCode", 200)),
        body=_body(given),
        root=ROOTS.get(name),
        body_checksum="requestAlgorithmMember" in raw.get("httpChecksum", {}),
        checksum_required=raw.get("httpChecksum", {}).get("requestChecksumRequired", False),
        max_document_bytes=MAX_DOCUMENT_BYTES.get(name, MEBIBYTE),
        query_names=frozenset(
            {key for key, _ in selectors} | {m.wire_name for m in given.members if m.location is Location.QUERY}
        ),
    )


@cache
def load() -> Mapping[str, OperationModel]:
    """Every operation by name: S3's 116 and the overlay's. Reads botocore's data files once a process."""
    raw = Loader().load_service_model("s3", "service-2")
    compiler = _Compiler(raw["shapes"])
    operations = {name: _operation(name, operation, compiler) for name, operation in raw["operations"].items()}
    return operations | {operation.name: operation for operation in OVERLAY_OPERATIONS}
