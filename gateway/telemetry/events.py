"""What the server has to say about a request, filled in while it runs and written once at its end."""

from dataclasses import dataclass


@dataclass(slots=True)
class RequestLog:
    """The facts of one request for its log line and its metrics. Fronts find it in ``scope["rowlock.log"]``.

    It is the one mutable record of a request: each layer adds what it learned. It never holds a secret.
    """

    door: str = "s3"
    operation: str | None = None
    bucket: str | None = None
    key: str | None = None
    access_key_id: str | None = None
    error_code: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
