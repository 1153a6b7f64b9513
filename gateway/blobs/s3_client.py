"""Calls to an S3 store, blocking, with retries, a circuit breaker and one meaning for each error.

Only called in threads. A botocore client is safe to share between threads; it is made once.
"""

import random
import time
from functools import cache
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

import botocore.loaders
import botocore.session
import structlog
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header
from opentelemetry import trace
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

from gateway.blobs.breaker import CircuitBreaker
from gateway.blobs.s3_options import S3Options
from gateway.errors import StorageError
from gateway.telemetry.watch import Watch

_log = structlog.get_logger(__name__)

PROBE_SECONDS: Final = 2.0

_BACKOFF_SECONDS: Final = 0.1
_BACKOFF_MAX_SECONDS: Final = 2.0
_THROTTLED: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
)
_TRANSIENT: Final = frozenset({"RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"})
_FULL: Final = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "NoSpaceLeft"})
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})


class UpstreamFailure(Exception):
    """The store did not answer, or said that it cannot now: to be tried again. ``throttled``: it is alive."""

    def __init__(self, reason: str, *, throttled: bool = False) -> None:
        self.throttled: Final = throttled
        super().__init__(reason)


class S3Client:
    """One bucket of one store. Every method blocks.

    Raises FileNotFoundError for what is not there, FileExistsError where ``If-None-Match`` refused, and StorageError:
    SlowDown when the store is away, asks for patience or its circuit is open; InsufficientStorage; InternalError.
    """

    def __init__(self, options: S3Options, *, name: str) -> None:
        self.options: Final = options
        self.profile: Final = options.profile
        self._name = name
        self._breaker = CircuitBreaker(options.breaker_failures, options.breaker_open_seconds)
        _trace()
        self._client = _client(options)
        self._host = urlsplit(self._client.meta.endpoint_url).netloc
        self._guard(self._client)
        # Signs for the host that clients see, and sends nothing.
        self._presigner = (
            self._client
            if options.public_endpoint is None
            else _client(options.model_copy(update={"endpoint": options.public_endpoint}))
        )
        self._prober: Any = None

    def call(self, operation: str, *, attempts: int | None = None, **parameters: Any) -> dict[str, Any]:
        """One operation on the bucket, repeated while that can help; a ``Body`` is a seekable file or bytes."""
        body: BinaryIO | None = parameters.get("Body") if hasattr(parameters.get("Body"), "seek") else None
        last = attempts or self.options.attempts
        for attempt in range(1, last + 1):
            if not self._breaker.allow():
                raise StorageError("SlowDown")
            if body is not None:
                body.seek(0)
            try:
                answer = self.try_once(operation, **parameters)
            except UpstreamFailure as failure:
                _log.warning(
                    "upstream_failed", backend=self._name, operation=operation, attempt=attempt, reason=str(failure)
                )
                if attempt == last:
                    raise StorageError("SlowDown") from failure
                time.sleep(_pause_seconds(attempt))
            else:
                return answer
        raise AssertionError("unreachable")

    def try_once(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One try. Raises UpstreamFailure besides what ``call`` raises."""
        method = getattr(self._client, _METHODS[operation])
        with Watch(self._name, operation, spans=False):  # botocore's instrumentation makes them
            try:
                answer: dict[str, Any] = method(Bucket=self.options.bucket, **parameters)
            except ClientError as error:
                raise self._meaning(operation, error) from error
            except BotoCoreError as error:
                raise self.failed(type(error).__name__) from error
        self._breaker.succeeded()
        return answer

    def failed(self, reason: str, *, throttled: bool = False) -> UpstreamFailure:
        """Count a failure, also one noticed while a body was read; returns what to raise."""
        if not throttled and self._breaker.failed():
            _log.error("upstream_circuit_opened", backend=self._name, reason=reason)
        return UpstreamFailure(reason, throttled=throttled)

    @property
    def circuit_open(self) -> bool:
        """Whether the store is left alone for now."""
        return self._breaker.is_open

    def probe(self) -> None:
        """Ask once whether the bucket is there, whatever the circuit breaker thinks. Raises OSError."""
        if self._prober is None:
            patience = {"connect_timeout_seconds": PROBE_SECONDS, "read_timeout_seconds": PROBE_SECONDS}
            self._prober = _client(self.options.model_copy(update=patience))
            self._guard(self._prober)
        try:
            self._prober.head_bucket(Bucket=self.options.bucket)
        except (BotoCoreError, ClientError) as error:
            raise OSError(type(error).__name__) from error

    def presign(self, operation: str, seconds: int, **parameters: Any) -> str:
        """A URL that may be used without credentials for a while."""
        url: str = self._presigner.generate_presigned_url(
            _METHODS[operation], Params={"Bucket": self.options.bucket, **parameters}, ExpiresIn=seconds
        )
        return url

    def close(self) -> None:
        """Close idle connections."""
        for client in (self._client, self._presigner, self._prober):
            if client is not None:
                client.close()

    def _guard(self, client: Any) -> None:
        events = client.meta.events
        events.unregister("before-call.s3", add_expect_header)
        events.register_last("before-parameter-build.s3", _forbid_redirects)
        events.register("before-send.s3", self._require_own_host)

    def _meaning(self, operation: str, error: ClientError) -> Exception:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _FULL or status == 507:
            self._breaker.succeeded()
            return StorageError("InsufficientStorage")
        if code in _THROTTLED or status == 429:
            return self.failed(code or str(status), throttled=True)
        if status >= 500 or code in _TRANSIENT or not status:
            return self.failed(f"{status} {code}")
        self._breaker.succeeded()
        if code in _MISSING:
            return FileNotFoundError(code)
        if status in (409, 412):
            return FileExistsError(code)
        _log.error("upstream_refused", backend=self._name, operation=operation, status=status, code=code)
        return StorageError("InternalError")

    def _require_own_host(self, request: Any, **_: Any) -> None:
        """No credential leaves for another host, whatever the store or botocore thinks (rclone GO-2026-6188)."""
        host = urlsplit(request.url).netloc
        if host not in (self._host, f"{self.options.bucket}.{self._host}"):
            _log.error("upstream_redirect_refused", backend=self._name, host=host)
            raise StorageError("InternalError")


_METHODS: Final = {
    "AbortMultipartUpload": "abort_multipart_upload",
    "CompleteMultipartUpload": "complete_multipart_upload",
    "CopyObject": "copy_object",
    "CreateMultipartUpload": "create_multipart_upload",
    "DeleteObject": "delete_object",
    "DeleteObjects": "delete_objects",
    "GetObject": "get_object",
    "GetObjectTagging": "get_object_tagging",
    "HeadObject": "head_object",
    "ListMultipartUploads": "list_multipart_uploads",
    "ListObjectsV2": "list_objects_v2",
    "PutObject": "put_object",
    "UploadPart": "upload_part",
    "UploadPartCopy": "upload_part_copy",
}


@cache
def _loader() -> Any:
    return botocore.loaders.create_loader()


def _client(options: S3Options) -> Any:
    profile = options.profile
    keys = {}
    if options.credentials == "keys":
        keys = {
            "aws_access_key_id": options.access_key_id,
            "aws_secret_access_key": options.secret_access_key,
            "aws_session_token": options.session_token,
        }
    session = botocore.session.Session()
    # Its cache holds S3's model, which takes longest to load.
    session.register_component("data_loader", _loader())
    return session.create_client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region or profile.region,
        verify=options.ca_bundle,
        config=Config(
            signature_version=UNSIGNED if options.credentials == "anonymous" else "s3v4",
            s3={"addressing_style": profile.addressing_style},
            connect_timeout=options.connect_timeout_seconds,
            read_timeout=options.read_timeout_seconds,
            # The retries are our own: they rewind bodies, and know what may have happened before.
            retries={"total_max_attempts": 1},
            max_pool_connections=3 * options.threads,
            tcp_keepalive=True,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            inject_host_prefix=False,
            ignore_configured_endpoint_urls=True,
        ),
        **keys,
    )


def _forbid_redirects(context: dict[str, Any], **_: Any) -> None:
    """Tell botocore's region redirector that it has had its turn: it would sign again for a host the answer names."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _pause_seconds(attempt: int) -> float:
    """Exponential, with full jitter."""
    return random.uniform(0, min(_BACKOFF_MAX_SECONDS, _BACKOFF_SECONDS * 2**attempt))  # noqa: S311


def _trace() -> None:
    """Spans for every call, if the process has somewhere to send them."""
    instrumentor = BotocoreInstrumentor()  # type: ignore[no-untyped-call]
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider) and not (
        instrumentor.is_instrumented_by_opentelemetry
    ):
        instrumentor.instrument()
