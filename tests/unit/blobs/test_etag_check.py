"""Comparing what was read with an ETag: that of one request, and that of an upload in parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blobs.digest import digest, multipart_etag
from gateway.blobs.s3_reader import EtagCheck


def etag_of(data: bytes, part_bytes: int) -> str:
    if not part_bytes:
        return digest("md5", data).hex()
    return multipart_etag(
        [digest("md5", data[start : start + part_bytes]) for start in range(0, len(data), part_bytes)]
    )


@given(st.binary(min_size=1, max_size=200), st.integers(0, 50), st.integers(1, 40), st.data())
def test_right_bytes_pass_and_others_do_not(data: bytes, part_bytes: int, piece: int, draw: st.DataObject) -> None:
    changed = bytearray(data)
    changed[draw.draw(st.integers(0, len(data) - 1))] ^= 1
    for read, expected in ((data, True), (bytes(changed), False)):
        check = EtagCheck(etag_of(data, part_bytes), len(data), part_bytes)
        assert check.is_possible
        for start in range(0, len(read), piece):
            check.update(read[start : start + piece])
        assert check.matches() is expected


@pytest.mark.parametrize("etag", ["", "abc", "0" * 32 + "-3", "0" * 64])
def test_etag_that_says_nothing_of_the_bytes(etag: str) -> None:
    assert not EtagCheck(etag, 100, 100).is_possible


def test_parts_of_unknown_size() -> None:
    assert not EtagCheck("0" * 32 + "-1", 100, 0).is_possible
