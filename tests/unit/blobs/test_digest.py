"""Digests against published check values and against each other."""

import hashlib
import zlib

import pytest

from gateway.blobs.digest import Digester, combine_crc, composite, digest, multipart_etag
from gateway.wire.checksums import CHECKSUM_ALGORITHMS

# CRC: "check" of the CRC RevEng catalogue (CRC-32/ISO-HDLC, CRC-32/ISCSI, CRC-64/NVME); XXHash: the reference
# implementation's sanity values and `xxhsum`; MD5 and SHA: RFC 1321 style vectors computed by coreutils.
CHECK = b"123456789"
CHECK_VALUES = {
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "sha512": "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a"
    "d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "xxhash64": "8cb841db40e6ae83",
}
EMPTY_VALUES = {
    "crc32": "00000000",
    "crc32c": "00000000",
    "crc64nvme": "0000000000000000",
    "xxhash64": "ef46db3751d8e999",
    "xxhash3": "2d06800538d394c2",
    "xxhash128": "99aa06d3014798d86001c324468d497f",
}


@pytest.mark.parametrize("algorithm", CHECK_VALUES)
def test_check_value(algorithm: str) -> None:
    assert digest(algorithm, CHECK).hex() == CHECK_VALUES[algorithm]


@pytest.mark.parametrize("algorithm", EMPTY_VALUES)
def test_digest_of_nothing(algorithm: str) -> None:
    assert Digester((algorithm,)).digests()[algorithm].hex() == EMPTY_VALUES[algorithm]


@pytest.mark.parametrize("algorithm", CHECKSUM_ALGORITHMS)
def test_pieces_of_any_type_equal_the_whole(algorithm: str) -> None:
    data = bytes(range(256)) * 40
    digester = Digester((algorithm,))
    digester.update(data[:1])
    digester.update(bytearray(data[1:5000]))
    digester.update(memoryview(data)[5000:])
    digester.update(b"")
    assert digester.digests() == {algorithm: digest(algorithm, data)}
    assert digester.size_bytes == len(data)
    assert len(digester.digests()[algorithm]) == CHECKSUM_ALGORITHMS[algorithm]


def test_digests_may_be_read_in_between() -> None:
    digester = Digester(CHECKSUM_ALGORITHMS)
    digester.update(b"ab")
    assert digester.digests()["xxhash3"] == digest("xxhash3", b"ab")
    digester.update(b"cd")
    assert digester.digests() == {name: digest(name, b"abcd") for name in CHECKSUM_ALGORITHMS}


def test_size_counts_bytes_of_wide_memoryviews() -> None:
    digester = Digester(())
    digester.update(memoryview(bytes(16)).cast("I"))
    assert digester.size_bytes == 16


def test_unknown_algorithm() -> None:
    with pytest.raises(ValueError, match="whirlpool"):
        Digester(("md5", "whirlpool"))


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
def test_full_object_checksum_of_parts(algorithm: str) -> None:
    parts = [b"a" * 5000, b"", b"bc" * 77, b"d"]
    combined = combine_crc(algorithm, [(digest(algorithm, part), len(part)) for part in parts])
    assert combined == digest(algorithm, b"".join(parts))


def test_full_object_checksum_refusals() -> None:
    with pytest.raises(ValueError, match="sha256"):
        combine_crc("sha256", [(bytes(32), 1)])
    with pytest.raises(ValueError, match="no parts"):
        combine_crc("crc32", [])
    with pytest.raises(ValueError, match="4 bytes"):
        combine_crc("crc32", [(bytes(8), 1)])


def test_composite_checksum_is_the_checksum_of_checksums() -> None:
    parts = [digest("crc32", b"one"), digest("crc32", b"two")]
    assert composite("crc32", parts) == zlib.crc32(b"".join(parts)).to_bytes(4, "big")


def test_multipart_etag() -> None:
    parts = [hashlib.md5(part).digest() for part in (b"one", b"two")]  # noqa: S324 - S3's own definition
    whole = hashlib.md5(parts[0] + parts[1]).hexdigest()  # noqa: S324 - S3's own definition
    assert multipart_etag(parts) == f"{whole}-2"
