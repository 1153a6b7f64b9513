"""@aws-sdk/client-s3 in Node, with lib-storage and the presigner."""

from collections.abc import Callable

from conformance.clients.conftest import Command


def test_node_sdk(node_client: Callable[..., Command], bucket: str) -> None:
    packages = ("@aws-sdk/client-s3", "@aws-sdk/lib-storage", "@aws-sdk/s3-request-presigner")
    assert "all right" in node_client("node_sdk", *packages)(bucket)
