"""Which front a request is for."""

from typing import Any

import pytest

from gateway.dispatch import Dispatch, Mounts, SignedPrefix


async def seen(
    path: bytes, *, port: int = 9000, host: bytes = b"localhost", domain: str | None = None
) -> tuple[str, str]:
    answers: list[tuple[str, str]] = []

    def front(name: str) -> Any:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            answers.append((name, scope.get("root_path", "")))

        return application

    dispatch = Dispatch(front("s3"), front("rest"), rest_port=5000, domain=domain)
    await dispatch({"raw_path": path, "headers": [(b"host", host)], "server": ("127.0.0.1", port)}, None, None)
    return answers[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", ("s3", "")),
        (b"/bucket/key", ("s3", "")),
        (b"/storage", ("s3", "")),
        (b"/storage/v2/x", ("s3", "")),
        (b"/storage/v1x", ("s3", "")),
        (b"/storage%2Fv1/x", ("s3", "")),
        (b"/storage/v1", ("rest", "/storage/v1")),
        (b"/storage/v1/bucket", ("rest", "/storage/v1")),
        (b"/storage/v1/s3", ("s3", "/storage/v1/s3")),
        (b"/storage/v1/s3/b/k", ("s3", "/storage/v1/s3")),
        (b"/storage/v1/s3x", ("rest", "/storage/v1")),
        (b"http://host/storage/v1/bucket", ("s3", "")),
    ],
)
async def test_on_the_S3_port(path: bytes, expected: tuple[str, str]) -> None:
    assert await seen(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/bucket", ("rest", "")),
        (b"/storage/v1/bucket", ("rest", "/storage/v1")),
        (b"/s3/b/k", ("s3", "/s3")),
        (b"/storage/v1/s3", ("s3", "/storage/v1/s3")),
    ],
)
async def test_on_a_port_of_its_own(path: bytes, expected: tuple[str, str]) -> None:
    assert await seen(path, port=5000) == expected


@pytest.mark.parametrize(
    ("path", "port", "expected"),
    [
        (b"/s3/b/k", 5000, (b"/storage/v1/s3/b/k", "/storage/v1/s3")),
        (b"/s3", 5000, (b"/storage/v1/s3", "/storage/v1/s3")),
        (b"/storage/v1/s3/b/k", 5000, (b"/storage/v1/s3/b/k", "/storage/v1/s3")),
        (b"/s3/b/k", 9000, (b"/s3/b/k", "")),
        (b"/storage/v1/s3/b/k", 9000, (b"/storage/v1/s3/b/k", "/storage/v1/s3")),
    ],
)
async def test_what_a_proxy_took_off_is_put_back_before_s3(path: bytes, port: int, expected: tuple[bytes, str]) -> None:
    answers: list[tuple[bytes, str]] = []

    async def s3(scope: Any, receive: Any, send: Any) -> None:
        answers.append((scope["raw_path"], scope.get("root_path", "")))

    async def rest(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope["raw_path"])

    dispatch = Dispatch(SignedPrefix(s3, "/storage/v1"), rest, rest_port=5000, domain=None)
    await dispatch({"raw_path": path, "headers": [], "server": ("127.0.0.1", port)}, None, None)
    assert answers == [expected]


async def test_under_the_host_name_of_a_bucket_everything_is_a_key() -> None:
    for host in (b"b.s3.example.com", b"B.S3.EXAMPLE.com:9000"):
        assert await seen(b"/storage/v1/bucket", host=host, domain="s3.example.com") == ("s3", "")
    assert await seen(b"/storage/v1/bucket", host=b"s3.example.com", domain="s3.example.com") == ("rest", "/storage/v1")


@pytest.mark.parametrize(
    ("path", "port", "expected"),
    [
        (b"/storage/v1/status", 9000, True),
        (b"/storage/v1/health/ready", 9000, True),
        (b"/storage/v1/health", 9000, False),
        (b"/storage/v1/object/b/status", 9000, False),
        (b"/status", 9000, False),
        (b"/status", 5000, True),
        (b"/bucket/status", 5000, False),
    ],
)
def test_what_asks_for_health(path: bytes, port: int, expected: bool) -> None:
    mounts = Mounts(rest_port=5000, domain="s3.example.com")
    scope = {"raw_path": path, "headers": [(b"host", b"localhost")], "server": ("127.0.0.1", port)}
    assert mounts.asks_for_health(scope) is expected
    named = {**scope, "headers": [(b"host", b"bucket.s3.example.com")]}
    assert mounts.asks_for_health(named) is (expected and port == 5000)
