"""Requests of every route of the JSON API with another's name in every place where one can stand.

A route without a line in ``LINES`` fails ``test_rest_matrix.py``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from conformance.isolation.names import SHARED_BODY, SHARED_BUCKET, SHARED_KEY, Names
from conformance.isolation.s3_plan import Cell, Place
from conformance.isolation.wire import Request
from gateway.rest.routes import Access, Body, Route

PREFIX: Final = "/storage/v1"
Fill = Callable[[Names], Mapping[str, Any]]


def _nothing(names: Names) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Line:
    """What a route is asked with: ``own`` the body or query on what is the caller's, ``naming`` those that name what is
    not; ``reason`` where nothing can be named."""

    own: Mapping[str, Any]
    naming: tuple[Fill, ...] = ()
    reason: str = ""


_PATH_ONLY: Final = Line({})
_DOWNLOAD: Final = {"download": "name"}


def _transfer(names: Names) -> dict[str, Any]:
    return {"bucketId": names.bucket, "sourceKey": names.key, "destinationKey": "copied"}


def _transfer_within(names: Names) -> dict[str, Any]:
    return {"bucketId": SHARED_BUCKET, "sourceKey": names.shared_key, "destinationKey": "copied"}


def _transfer_into(names: Names) -> dict[str, Any]:
    own = {"bucketId": SHARED_BUCKET, "sourceKey": SHARED_KEY}
    return own | {"destinationBucket": names.bucket, "destinationKey": names.key}


_TRANSFERS: Final = Line(
    {"bucketId": SHARED_BUCKET, "sourceKey": "nothing", "destinationKey": "copied"},
    (_transfer, _transfer_within, _transfer_into),
)

_PENDING: Final = Line(
    {"token": "e30.e30.e30"},
    (
        lambda names: {"id": names.pending_id},
        lambda names: {"token": names.pending_token},
        lambda names: {"token": names.upload_token},
    ),
)

LINES: Final[Mapping[str, Line]] = {
    "createBucket": Line(
        {"name": SHARED_BUCKET},
        (lambda names: {"name": names.bucket}, lambda names: {"name": names.bucket, "id": names.bucket}),
    ),
    "listBuckets": Line({}, (lambda names: {"search": names.bucket},)),
    "getBucket": _PATH_ONLY,
    "updateBucket": Line({"public": True}),
    "emptyBucket": _PATH_ONLY,
    "deleteBucket": _PATH_ONLY,
    "getBucketLifecycle": _PATH_ONLY,
    "updateBucketLifecycle": Line(
        {"rules": [{"status": "Enabled", "filter": {}, "noncurrentVersionExpiration": {"noncurrentDays": 1}}]}
    ),
    "deleteBucketLifecycle": _PATH_ONLY,
    "createSignedUploadUrl": _PATH_ONLY,
    "uploadToSignedUrl": Line(
        {"token": "e30.e30.e30"}, (lambda n: {"token": n.upload_token}, lambda n: {"token": n.download_token})
    ),
    "confirmUpload": _PENDING,
    "getPendingUpload": _PENDING,
    "cancelUpload": _PENDING,
    "copyObject": _TRANSFERS,
    "moveObject": _TRANSFERS,
    "listObjects": Line(
        {"prefix": ""},
        (lambda names: {"prefix": names.shared_key}, lambda names: {"prefix": "", "search": names.shared_key}),
    ),
    "listObjectsV2": Line(
        {"prefix": ""},
        (
            lambda names: {"prefix": names.shared_key},
            lambda names: {"prefix": "", "cursor": names.continuation_token},
        ),
    ),
    "createSignedUrls": Line(
        {"expiresIn": 60, "paths": [SHARED_KEY]}, (lambda n: {"expiresIn": 60, "paths": [n.shared_key, n.key]},)
    ),
    "createSignedUrl": Line({"expiresIn": 60}),
    "getSignedObject": Line(
        {"token": "e30.e30.e30"}, (lambda n: {"token": n.download_token}, lambda n: {"token": n.upload_token})
    ),
    "getPublicObject": Line(_DOWNLOAD),
    "getAuthenticatedObject": Line(_DOWNLOAD),
    "getPublicObjectInfo": _PATH_ONLY,
    "getAuthenticatedObjectInfo": _PATH_ONLY,
    "getObjectInfo": _PATH_ONLY,
    "getObject": Line(_DOWNLOAD),
    "uploadObject": _PATH_ONLY,
    "updateObject": _PATH_ONLY,
    "deleteObject": _PATH_ONLY,
    "deleteObjects": Line({"prefixes": ["nothing"]}, (lambda names: {"prefixes": [names.shared_key, names.key]},)),
    "purgeCache": Line({}, reason="it names no bucket"),
    "purgeBucketCache": _PATH_ONLY,
    "purgeObjectCache": _PATH_ONLY,
    "health": Line({}, reason="it tells of the server alone"),
    "ready": Line({}, reason="it tells of the server alone"),
    "status": Line({}, reason="it tells of the server alone"),
    "version": Line({}, reason="it tells of the server alone"),
}


def cells(route: Route) -> Iterator[Cell]:
    """Every way in which a request for a route can name what is another's."""
    line = LINES[route.name]
    for method in route.methods:
        if "{bucket}" in route.path:
            yield Cell(
                Place.BUCKET,
                method,
                lambda n, m=method: _request(route, m, line.own, n.bucket, n.key),
            )
        if "{key}" in route.path:
            yield Cell(
                Place.KEY,
                method,
                lambda n, m=method: _request(route, m, line.own, SHARED_BUCKET, n.shared_key),
            )
        for number, fill in enumerate(line.naming):
            yield Cell(
                Place.DOCUMENT,
                f"{method} {number}",
                lambda n, m=method, f=fill: _request(route, m, f(n), SHARED_BUCKET, SHARED_KEY),
            )
            if route.access is Access.SIGNED_URL:
                yield Cell(
                    Place.DOCUMENT,
                    f"{method} {number} of its own object",
                    lambda n, m=method, f=fill: _request(route, m, f(n), n.bucket, n.key),
                )


def plain(route: Route) -> Request:
    """A request for a route on what is the caller's own."""
    return _request(route, route.methods[0], LINES[route.name].own, SHARED_BUCKET, SHARED_KEY)


def _request(route: Route, method: str, given: Mapping[str, Any], bucket: str, key: str) -> Request:
    path = PREFIX + route.path.replace("{bucket}", quote(bucket)).replace("{key}", quote(key))
    if route.body is Body.JSON:
        return Request(method, path, (("Content-Type", "application/json"),), json.dumps(given).encode())
    query = f"?{urlencode(given)}" if given else ""
    if route.body is Body.OBJECT:
        return Request(method, path + query, (("Content-Type", "text/plain"),), SHARED_BODY)
    return Request(method, path + query)
