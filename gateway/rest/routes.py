"""Every route of the JSON API: method, path, who may come in, what it takes, and the handler. OpenAPI lists the same.

``operation`` is what ``storage.operation()`` returns inside a policy; the names are Supabase's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.errors import StorageError
from gateway.rest import buckets, downloads, lifecycle, objects, pending, schemas, service, uploads
from gateway.rest.api import Handler
from gateway.rest.errors import unknown_route
from gateway.rest.schemas import Schema
from gateway.wire.request import percent_decode


class Access(StrEnum):
    """Whom a route asks to identify."""

    TOKEN = "token"  # noqa: S105 - a bearer token is needed
    OPTIONAL = "optional"
    SIGNED_URL = "signed url"
    NOBODY = "nobody"


class Body(StrEnum):
    """What a route does with a request's body."""

    NONE = "none"
    JSON = "json"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``path`` has ``{bucket}``, one segment, and ``{key}``, all that follows."""

    name: str
    methods: tuple[str, ...]
    path: str
    operation: str
    handler: Handler
    access: Access = Access.TOKEN
    body: Body = Body.NONE
    document: type[Schema] | None = None
    query: type[Schema] | None = None
    writes: bool = False
    """Whether a denial is that of a new row."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The path, taken apart."""
        return tuple(self.path.strip("/").split("/"))


@dataclass(frozen=True, slots=True)
class Match:
    """A route and what its path names; "" where it names nothing."""

    route: Route
    bucket: str
    key: str


_READ: Final = ("GET", "HEAD")

ROUTES: Final = (
    # buckets
    Route(
        "createBucket",
        ("POST",),
        "/bucket",
        "storage.bucket.create",
        buckets.create_bucket,
        body=Body.JSON,
        document=schemas.NewBucket,
        writes=True,
    ),
    Route("listBuckets", ("GET",), "/bucket", "storage.bucket.list", buckets.list_buckets, query=schemas.BucketQuery),
    Route("getBucket", ("GET",), "/bucket/{bucket}", "storage.bucket.get", buckets.get_bucket),
    Route(
        "updateBucket",
        ("PUT",),
        "/bucket/{bucket}",
        "storage.bucket.update",
        buckets.update_bucket,
        body=Body.JSON,
        document=schemas.BucketUpdate,
        writes=True,
    ),
    Route("emptyBucket", ("POST",), "/bucket/{bucket}/empty", "storage.bucket.empty", buckets.empty_bucket),
    Route("deleteBucket", ("DELETE",), "/bucket/{bucket}", "storage.bucket.delete", buckets.delete_bucket),
    Route(
        "getBucketLifecycle",
        ("GET",),
        "/bucket/{bucket}/lifecycle",
        "storage.bucket.get_lifecycle",
        lifecycle.get_bucket_lifecycle,
    ),
    Route(
        "updateBucketLifecycle",
        ("PUT",),
        "/bucket/{bucket}/lifecycle",
        "storage.bucket.update_lifecycle",
        lifecycle.update_bucket_lifecycle,
        body=Body.JSON,
        document=lifecycle.Lifecycle,
        writes=True,
    ),
    Route(
        "deleteBucketLifecycle",
        ("DELETE",),
        "/bucket/{bucket}/lifecycle",
        "storage.bucket.delete_lifecycle",
        lifecycle.delete_bucket_lifecycle,
    ),
    # objects: what stores
    Route(
        "createSignedUploadUrl",
        ("POST",),
        "/object/upload/sign/{bucket}/{key}",
        "storage.object.sign_upload_url",
        uploads.sign_upload,
        body=Body.JSON,
        document=schemas.UploadUrlRequest,
        writes=True,
    ),
    Route(
        "uploadToSignedUrl",
        ("PUT",),
        "/object/upload/sign/{bucket}/{key}",
        "storage.object.upload_signed",
        uploads.upload_signed,
        Access.SIGNED_URL,
        Body.OBJECT,
        query=schemas.UploadTokenQuery,
        writes=True,
    ),
    Route(
        "confirmUpload",
        ("POST",),
        "/object/upload/confirm/{bucket}/{key}",
        "storage.object.confirm",
        pending.confirm,
        body=Body.JSON,
        document=schemas.PendingUpload,
        writes=True,
    ),
    Route(
        "getPendingUpload",
        ("GET",),
        "/object/upload/pending/{bucket}/{key}",
        "storage.object.pending_info",
        pending.info,
        query=schemas.PendingUpload,
        writes=True,
    ),
    Route(
        "cancelUpload",
        ("DELETE",),
        "/object/upload/pending/{bucket}/{key}",
        "storage.object.pending_cancel",
        pending.cancel,
        query=schemas.PendingUpload,
        writes=True,
    ),
    Route(
        "copyObject",
        ("POST",),
        "/object/copy",
        "storage.object.copy",
        objects.copy_object,
        body=Body.JSON,
        document=schemas.ObjectCopy,
        writes=True,
    ),
    Route(
        "moveObject",
        ("POST",),
        "/object/move",
        "storage.object.move",
        objects.move_object,
        body=Body.JSON,
        document=schemas.ObjectMove,
        writes=True,
    ),
    # objects: listings and signed URLs
    Route(
        "listObjects",
        ("POST",),
        "/object/list/{bucket}",
        "storage.object.list",
        objects.list_folder,
        body=Body.JSON,
        document=schemas.FolderSearch,
    ),
    Route(
        "listObjectsV2",
        ("POST",),
        "/object/list-v2/{bucket}",
        "storage.object.list_v2",
        objects.list_entries,
        body=Body.JSON,
        document=schemas.EntrySearch,
    ),
    Route(
        "createSignedUrls",
        ("POST",),
        "/object/sign/{bucket}",
        "storage.object.sign_many",
        objects.sign_objects,
        body=Body.JSON,
        document=schemas.UrlsRequest,
    ),
    Route(
        "createSignedUrl",
        ("POST",),
        "/object/sign/{bucket}/{key}",
        "storage.object.sign",
        objects.sign_object,
        body=Body.JSON,
        document=schemas.UrlRequest,
    ),
    # objects: what reads
    Route(
        "getSignedObject",
        _READ,
        "/object/sign/{bucket}/{key}",
        "storage.object.get_signed",
        downloads.get_signed,
        Access.SIGNED_URL,
        query=schemas.TokenQuery,
    ),
    Route(
        "getPublicObject",
        _READ,
        "/object/public/{bucket}/{key}",
        "storage.object.get_public",
        downloads.get_public,
        Access.NOBODY,
        query=schemas.DownloadQuery,
    ),
    Route(
        "getAuthenticatedObject",
        _READ,
        "/object/authenticated/{bucket}/{key}",
        "storage.object.get_authenticated",
        downloads.get_authenticated,
        query=schemas.DownloadQuery,
    ),
    Route(
        "getPublicObjectInfo",
        _READ,
        "/object/info/public/{bucket}/{key}",
        "storage.object.info_public",
        downloads.info_public,
        Access.NOBODY,
        query=schemas.VersionQuery,
    ),
    Route(
        "getAuthenticatedObjectInfo",
        _READ,
        "/object/info/authenticated/{bucket}/{key}",
        "storage.object.info_authenticated",
        downloads.info_authenticated,
        query=schemas.VersionQuery,
    ),
    Route(
        "getObjectInfo",
        _READ,
        "/object/info/{bucket}/{key}",
        "storage.object.info_authenticated",
        downloads.info_authenticated,
        Access.OPTIONAL,
        query=schemas.VersionQuery,
    ),
    Route(
        "getObject",
        _READ,
        "/object/{bucket}/{key}",
        "storage.object.get_authenticated",
        downloads.get_authenticated,
        Access.OPTIONAL,
        query=schemas.DownloadQuery,
    ),
    Route(
        "uploadObject",
        ("POST",),
        "/object/{bucket}/{key}",
        "storage.object.upload",
        uploads.upload,
        body=Body.OBJECT,
        writes=True,
    ),
    Route(
        "updateObject",
        ("PUT",),
        "/object/{bucket}/{key}",
        "storage.object.upload_update",
        uploads.upload,
        body=Body.OBJECT,
        writes=True,
    ),
    Route(
        "deleteObject",
        ("DELETE",),
        "/object/{bucket}/{key}",
        "storage.object.delete",
        objects.remove_object,
        query=schemas.VersionQuery,
    ),
    Route(
        "deleteObjects",
        ("DELETE",),
        "/object/{bucket}",
        "storage.object.delete_many",
        objects.remove_objects,
        body=Body.JSON,
        document=schemas.Removal,
    ),
    # the rest
    Route(
        "purgeCache", ("DELETE",), "/cdn", "storage.object.purge_cache", service.purge_cache, query=schemas.PurgeQuery
    ),
    Route(
        "purgeBucketCache",
        ("DELETE",),
        "/cdn/{bucket}",
        "storage.object.purge_cache",
        service.purge_cache,
        query=schemas.PurgeQuery,
    ),
    Route(
        "purgeObjectCache",
        ("DELETE",),
        "/cdn/{bucket}/{key}",
        "storage.object.purge_cache",
        service.purge_cache,
        query=schemas.PurgeQuery,
    ),
    Route("health", ("GET",), "/health", "storage.health", service.health),
    Route("ready", _READ, "/health/ready", "storage.ready", service.ready, Access.NOBODY),
    Route("status", _READ, "/status", "storage.status", service.status, Access.NOBODY),
    Route("version", ("GET",), "/version", "storage.version", service.version, Access.NOBODY),
)


class Router:
    """Finds a route. Where two fit, the one whose path says more wins: ``/object/list/x`` is no key of a bucket."""

    def __init__(self, routes: Sequence[Route] = ROUTES) -> None:
        self._routes = sorted(
            ((route, route.segments) for route in routes), key=lambda item: [s.startswith("{") for s in item[1]]
        )

    def match(self, method: str, path: bytes) -> Match:
        """``path`` is as sent, without what it is mounted at. Raises Refusal (there is no such route), and
        StorageError(InvalidURI)."""
        sent = path.removeprefix(b"/").split(b"/")
        for route, segments in self._routes:
            if method in route.methods and (named := _fit(segments, sent)) is not None:
                return Match(route, percent_decode(named[0]), percent_decode(named[1]))
        try:
            shown = percent_decode(path)
        except StorageError:
            shown = path.decode("ascii", "replace")
        raise unknown_route(method, shown[:256])


def _fit(segments: tuple[str, ...], sent: list[bytes]) -> tuple[bytes, bytes] | None:
    """The bucket and the key, still encoded, if the path is of this form."""
    bucket = key = b""
    for position, segment in enumerate(segments):
        if segment == "{key}":
            key = b"/".join(sent[position:])
            return (bucket, key) if key else None
        if position >= len(sent):
            return None
        if segment == "{bucket}":
            bucket = sent[position]
            if not bucket:
                return None
        elif sent[position] != segment.encode("ascii"):
            return None
    rest = sent[len(segments) :]
    return (bucket, key) if not rest or rest == [b""] else None
