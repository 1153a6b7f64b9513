"""Routes of the service itself: is it alive, is it ready, which version; and what a CDN has to forget."""

from typing import cast

import structlog

from gateway import __version__
from gateway.context import SERVICE_ROLE
from gateway.errors import StorageError
from gateway.jobs.cdn import Purge, PurgeFailed
from gateway.operations import storage_buckets
from gateway.operations.storage_buckets import BucketSearch
from gateway.rest.api import Api, Asked, json_response
from gateway.rest.errors import NO_STORE, wrong_role
from gateway.rest.schemas import PurgeQuery
from gateway.wire.response import Response

_log = structlog.get_logger(__name__)


async def purge_cache(api: Api, asked: Asked) -> Response:
    """Have the CDN forget an object, a bucket or everything of the tenant, or the rendered images of it alone."""
    if asked.call.principal.role != SERVICE_ROLE:
        raise wrong_role()
    endpoint = api.caching.purge
    if endpoint is None:
        raise StorageError("MissingParameter", "Missing Required Parameter CDN_PURGE_ENDPOINT_URL")
    purge = Purge(asked.bucket or None, asked.key or None, cast(PurgeQuery, asked.query).transformations)
    try:
        await endpoint.send(purge)
    except PurgeFailed as error:
        _log.warning("cdn_purge_failed", kind=purge.kind, bucket=purge.bucket, reason=str(error))
        raise StorageError("InternalError", "Error purging cache") from error
    return json_response({"message": "success", "statusCode": "200"})


async def health(api: Api, asked: Asked) -> Response:
    """Does the database answer?"""
    try:
        await storage_buckets.list_buckets(api.services, asked.call, BucketSearch(limit=1))
    except StorageError:
        return json_response({"healthy": False})
    return json_response({"healthy": True})


async def ready(api: Api, asked: Asked) -> Response:
    """Do the database and every backend answer? 503 while one does not."""
    if api.services.readiness is None:
        raise StorageError("ServiceUnavailable")
    report = await api.services.readiness.report()
    answer = json_response(report.document, 200 if report.is_ready else 503)
    return Response(answer.status, (*answer.headers, NO_STORE), answer.body)


async def status(api: Api, asked: Asked) -> Response:
    """The process answers."""
    return Response(200)


async def version(api: Api, asked: Asked) -> Response:
    """Which Rowlock this is."""
    return Response(200, ((b"content-type", b"text/plain; charset=utf-8"),), __version__.encode())
