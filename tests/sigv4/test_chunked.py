"""aws-chunked bodies: rule R8 and the attack cases S01-S07, with a signer of their own."""

import hashlib
import io

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

import sigv4
from sigv4.chunked import MAX_SIGNED_CHUNK_BYTES
from tests.sigv4.support import SCOPE, STAMP, derived_key, hand_signed, judge, mac

EMPTY = hashlib.sha256(b"").hexdigest()
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = SIGNED + "-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CRC = ("x-amz-checksum-crc32",)


def request_for(word, trailer_names=(), path="/bucket/key"):
    headers = {"x-amz-trailer": ",".join(trailer_names)} if trailer_names else {}
    return hand_signed("PUT", path, word=word, headers=headers)


def seed_of(request) -> str:
    return request.header("authorization").rpartition("=")[2]


def signed_chunks(pieces, seed, trailer=None):
    """The chunks of a signed body as a list, final chunk and trailer as its last element."""
    key, out = derived_key(), []
    for piece in (*pieces, b""):
        lines = ("AWS4-HMAC-SHA256-PAYLOAD", STAMP, SCOPE, seed, EMPTY, hashlib.sha256(piece).hexdigest())
        seed = mac(key, "\n".join(lines)).hex()
        out.append(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), seed.encode(), piece))
    if trailer is not None:
        text = "".join(f"{name}:{value}\n" for name, value in trailer)
        lines = ("AWS4-HMAC-SHA256-TRAILER", STAMP, SCOPE, seed, hashlib.sha256(text.encode()).hexdigest())
        signature = mac(key, "\n".join(lines)).hex()
        wire = "".join(f"{name}:{value}\r\n" for name, value in trailer)
        out[-1] = out[-1][:-2] + f"{wire}x-amz-trailer-signature:{signature}\r\n\r\n".encode()
    return out


def unsigned_body(pieces, trailer=()):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return body + b"0\r\n" + b"".join(f"{name}:{value}\r\n".encode() for name, value in trailer) + b"\r\n"


def decoder_for(word, length, trailer_names=(), request=None):
    payload = judge(request or request_for(word, trailer_names))
    decoder = payload.decoder(decoded_length=length, trailer_names=tuple(trailer_names))
    assert decoder is not None
    return decoder


def run(decoder, body, cuts=()):
    out, last = [], 0
    for cut in (*sorted(cuts), len(body)):
        out += decoder.feed(body[last:cut])
        last = cut
    decoder.finish()
    assert decoder.done
    return b"".join(out)


def refused(code, decoder, body):
    """The body is refused with this code, whole or byte by byte, and the decoder stays refused."""
    with pytest.raises(sigv4.SignatureError) as caught:
        run(decoder, body)
    assert caught.value.code == code, caught.value
    assert not decoder.done
    with pytest.raises(sigv4.SignatureError):
        decoder.feed(b"")
    with pytest.raises(sigv4.SignatureError):
        decoder.finish()


def signed_decoder(length, request=None):
    return decoder_for(SIGNED, length, request=request)


PIECES = (b"a" * 70, b"b" * 10, b"\r\n0\r\n\r\n")
LENGTH = sum(map(len, PIECES))
TRAILER = (("x-amz-checksum-crc32", "AAAAAA=="),)


def test_signed_body():
    chunks = signed_chunks(PIECES, seed_of(request_for(SIGNED)))
    assert run(signed_decoder(LENGTH), b"".join(chunks)) == b"".join(PIECES)


def test_signed_body_with_trailer():
    chunks = signed_chunks(PIECES, seed_of(request_for(SIGNED_TRAILER, CRC)), TRAILER)
    decoder = decoder_for(SIGNED_TRAILER, LENGTH, CRC)
    assert decoder.trailers == {}
    assert run(decoder, b"".join(chunks)) == b"".join(PIECES)
    assert decoder.trailers == dict(TRAILER)


def test_unsigned_body_with_trailer_is_released_as_it_arrives():
    decoder = decoder_for(UNSIGNED_TRAILER, LENGTH, CRC)
    body = unsigned_body(PIECES, TRAILER)
    assert decoder.feed(body[:10]) == [b"aaaaaa"]
    assert run(decoder, body[10:]) == b"".join(PIECES)[6:]
    assert decoder.trailers == dict(TRAILER)


def test_empty_body():
    assert run(signed_decoder(0), b"".join(signed_chunks((), seed_of(request_for(SIGNED))))) == b""
    assert run(decoder_for(UNSIGNED_TRAILER, 0), unsigned_body(())) == b""


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
def test_body_of_botocore(size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    checksum = Crc32Checksum()
    body = AwsChunkedWrapper(
        io.BytesIO(data), checksum_cls=lambda: checksum, checksum_name=CRC[0], chunk_size=65_536
    ).read()
    decoder = decoder_for(UNSIGNED_TRAILER, size, CRC)
    assert run(decoder, body, range(0, len(body), 1000)) == data
    assert decoder.trailers == {CRC[0]: checksum.b64digest()}


def test_trailer_of_minio_go_with_its_extra_line_feed():
    body = unsigned_body(PIECES)[:-2] + b"x-amz-checksum-crc32:AAAAAA==\n\r\n\r\n"
    decoder = decoder_for(UNSIGNED_TRAILER, LENGTH, CRC)
    run(decoder, body)
    assert decoder.trailers == dict(TRAILER)
    signed = b"".join(signed_chunks(PIECES, seed_of(request_for(SIGNED_TRAILER, CRC)), TRAILER))
    run(decoder_for(SIGNED_TRAILER, LENGTH, CRC), signed.replace(b"==\r\n", b"==\n\r\n"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.sampled_from([SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER]),
    st.lists(st.integers(0, 900), max_size=12),
)
def test_S07_every_split_gives_the_same(pieces, word, cuts):
    names = () if word == SIGNED else CRC
    if word == UNSIGNED_TRAILER:
        body = unsigned_body(pieces, TRAILER)
    else:
        body = b"".join(signed_chunks(pieces, seed_of(request_for(word, names)), TRAILER if names else None))
    data = b"".join(pieces)
    decoder = decoder_for(word, len(data), names)
    assert run(decoder, body, [min(cut, len(body)) for cut in cuts]) == data
    assert decoder.trailers == (dict(TRAILER) if names else {})
    assert run(decoder_for(word, len(data), names), body, range(len(body))) == data


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([SIGNED, SIGNED_TRAILER]), st.integers(0, 10_000), st.integers(0, 255))
def test_mutated_signed_body_is_never_accepted_nor_released(word, index, byte):
    names = () if word == SIGNED else CRC
    body = b"".join(signed_chunks(PIECES, seed_of(request_for(word, names)), TRAILER if names else None))
    index %= len(body)
    mutated = body[:index] + bytes((byte,)) + body[index + 1 :]
    decoder = decoder_for(word, LENGTH, names)
    released = []
    try:
        for position in range(0, len(mutated), 7):
            released += decoder.feed(mutated[position : position + 7])
        decoder.finish()
    except sigv4.SignatureError:
        assert b"".join(PIECES).startswith(b"".join(released))
        return
    # Upper-case hex in a size and names of trailers, and white space round a value, mean the same.
    assert b"".join(released) == b"".join(PIECES)
    assert mutated.lower().replace(b" ", b"") == body.lower().replace(b" ", b"") or mutated == body
    assert decoder.trailers == (dict(TRAILER) if names else {})


@pytest.mark.parametrize("which", [0, 1, 3])
def test_S01_wrong_signature_of_first_middle_and_final_chunk(which):
    chunks = signed_chunks(PIECES, seed_of(request_for(SIGNED)))
    head, _, data = chunks[which].partition(b"\r\n")
    for signature in (b"0" * 64, b"", b"\xff" * 64, head[-64:].upper(), head[-64:-1]):
        wrong = [*chunks]
        wrong[which] = head[:-64] + signature + b"\r\n" + data
        refused("SignatureDoesNotMatch", signed_decoder(LENGTH), b"".join(wrong))


def test_S01_nothing_of_an_unverified_chunk_is_released():
    chunks = signed_chunks((b"good", b"evil"), seed_of(request_for(SIGNED)))
    decoder = signed_decoder(8)
    assert decoder.feed(chunks[0] + chunks[1][:-3]) == [b"good"]
    with pytest.raises(sigv4.SignatureError):
        decoder.feed(b"X\r\n")


def test_S01_missing_final_chunk_and_bytes_after_it():
    chunks = signed_chunks(PIECES, seed_of(request_for(SIGNED)))
    refused("IncompleteBody", signed_decoder(LENGTH), b"".join(chunks[:-1]))
    refused("IncompleteBody", signed_decoder(LENGTH), b"".join(chunks)[:-2])
    refused("IncompleteBody", signed_decoder(LENGTH), b"".join(chunks) + b"x")
    refused("IncompleteBody", decoder_for(UNSIGNED_TRAILER, LENGTH), unsigned_body(PIECES) + b"\r\n")


def test_S02_chunks_swapped_repeated_left_out_or_of_another_request():
    chunks = signed_chunks((b"aaaa", b"bbbb", b"cccc"), seed_of(request_for(SIGNED)))
    other = signed_chunks((b"aaaa", b"bbbb", b"cccc"), seed_of(request_for(SIGNED, path="/bucket/other")))
    for order in (
        [chunks[1], chunks[0], *chunks[2:]],
        [chunks[0], chunks[0], *chunks[2:]],
        [chunks[0], *chunks[2:]],
        [other[0], *chunks[1:]],
        other,
    ):
        refused("SignatureDoesNotMatch", signed_decoder(12), b"".join(order))


@pytest.mark.parametrize("length", [LENGTH - 1, LENGTH + 1, 0, LENGTH * 2])
def test_S03_decoded_length_differs(length):
    refused("IncompleteBody", signed_decoder(length), b"".join(signed_chunks(PIECES, seed_of(request_for(SIGNED)))))
    refused("IncompleteBody", decoder_for(UNSIGNED_TRAILER, length), unsigned_body(PIECES))


@pytest.mark.parametrize(
    "size", [b"-1", b"+5", b"0x5", b" 5", b"5 ", b"5_0", b"", b"g", b"0" * 16 + b"5", b"\xd9\xa5", b"5\n"]
)
def test_S04_chunk_size_grammar(size):
    refused("InvalidChunkSizeError", decoder_for(UNSIGNED_TRAILER, 5), size + b"\r\nhello\r\n0\r\n\r\n")


def test_S04_size_of_sixteen_digits_is_read():
    assert run(decoder_for(UNSIGNED_TRAILER, 5), b"0" * 15 + b"5\r\nhello\r\n0\r\n\r\n") == b"hello"


@pytest.mark.parametrize("extension", [b";ext", b";", b";chunk-signature=" + b"0" * 64])
def test_S04_extension_on_an_unsigned_chunk(extension):
    refused("InvalidChunkSizeError", decoder_for(UNSIGNED_TRAILER, 5), b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize("extension", [b"", b";", b";ext", b";Chunk-Signature=" + b"0" * 64, b";chunk-signature"])
def test_S04_signed_chunk_without_its_signature(extension):
    refused("SignatureDoesNotMatch", signed_decoder(5), b"5" + extension + b"\r\nhello\r\n")


def test_S04_line_ends():
    for body in (
        b"5\nhello\n0\n\n",
        b"5\rhello\r0\r\r",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
    ):
        decoder = decoder_for(UNSIGNED_TRAILER, 5)
        with pytest.raises(sigv4.SignatureError) as caught:
            run(decoder, body)
        assert caught.value.code in ("InvalidChunkSizeError", "IncompleteBody")


def test_S04_endless_header_line_is_cut_off():
    decoder = decoder_for(UNSIGNED_TRAILER, 5)
    for _ in range(4):
        assert decoder.feed(b"0" * 1024) == []
    with pytest.raises(sigv4.SignatureError) as caught:
        decoder.feed(b"0")
    assert caught.value.code == "InvalidChunkSizeError"


def test_signed_chunk_above_16_mebibytes():
    decoder = signed_decoder(MAX_SIGNED_CHUNK_BYTES * 2)
    with pytest.raises(sigv4.SignatureError) as caught:
        decoder.feed(b"%x;chunk-signature=%s\r\n" % (MAX_SIGNED_CHUNK_BYTES + 1, b"0" * 64))
    assert caught.value.code == "InvalidChunkSizeError"
    assert caught.value.fields["Chunk"] == "1"
    assert decoder_for(UNSIGNED_TRAILER, 1 << 40).feed(b"%x\r\nab" % (1 << 40)) == [b"ab"]


@pytest.mark.parametrize(
    ("announced", "sent"),
    [
        (CRC, ()),
        ((), TRAILER),
        (CRC, (*TRAILER, *TRAILER)),
        (CRC, (("x-amz-checksum-sha1", "AA=="),)),
        (CRC, (*TRAILER, ("x-extra", "1"))),
        ((*CRC, "x-amz-checksum-sha1"), TRAILER),
        (CRC, (("x-amz-checksum-crc32", "AA\x01"),)),
        (CRC, (("x-amz-checksum-crc32", "ü"),)),
        (CRC, (("x-amz-checksum-crc32 ", "AA=="),)),
        (CRC, (("", "AA=="),)),
        (CRC, (*TRAILER, ("x-amz-trailer-signature", "0" * 64))),
    ],
)
def test_S05_trailer_that_does_not_fit_its_announcement(announced, sent):
    refused("MalformedTrailerError", decoder_for(UNSIGNED_TRAILER, LENGTH, announced), unsigned_body(PIECES, sent))


def test_S05_trailer_line_without_colon_or_with_bare_line_feed():
    for line in (b"x-amz-checksum-crc32\r\n", b"x-amz-checksum-crc32:A\nB\r\n", b"x-amz-checksum-crc32:A\n\n\r\n"):
        body = unsigned_body(PIECES)[:-2] + line + b"\r\n"
        refused("MalformedTrailerError", decoder_for(UNSIGNED_TRAILER, LENGTH, CRC), body)


@pytest.mark.parametrize("names", [("a", "a"), ("A", "a"), ("x-amz-trailer-signature",)])
def test_S05_announcement_that_cannot_be_kept(names):
    payload = judge(request_for(UNSIGNED_TRAILER))
    with pytest.raises(sigv4.SignatureError) as caught:
        payload.decoder(decoded_length=0, trailer_names=names)
    assert caught.value.code == "MalformedTrailerError"
    with pytest.raises(sigv4.SignatureError):
        judge(request_for(SIGNED)).decoder(decoded_length=0, trailer_names=CRC)


def test_S05_wrong_or_missing_trailer_signature():
    body = b"".join(signed_chunks(PIECES, seed_of(request_for(SIGNED_TRAILER, CRC)), TRAILER))
    head, _, _ = body.rpartition(b"x-amz-trailer-signature:")
    for end in (b"\r\n", b"x-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n", b"x-amz-trailer-signature:\r\n\r\n"):
        refused("SignatureDoesNotMatch", decoder_for(SIGNED_TRAILER, LENGTH, CRC), head + end)
    changed = body.replace(b"AAAAAA==", b"AAAAAB==")
    refused("SignatureDoesNotMatch", decoder_for(SIGNED_TRAILER, LENGTH, CRC), changed)


def test_trailer_flood_is_refused():
    for flood in (b"x:y\r\n" * 10_000, b"x-amz-checksum-crc32:" + b"A" * (1 << 20) + b"\r\n"):
        body = unsigned_body(PIECES)[:-2] + flood + b"\r\n"
        refused("MalformedTrailerError", decoder_for(UNSIGNED_TRAILER, LENGTH, CRC), body)
    many = tuple((f"x-{number}", "y" * 1000) for number in range(20))
    names = tuple(name for name, _ in many)
    refused("MalformedTrailerError", decoder_for(UNSIGNED_TRAILER, LENGTH, names), unsigned_body(PIECES, many))


def test_S06_seed_signature_wrong_is_a_403_before_any_body():
    request = request_for(SIGNED)
    wrong = request.replacing("authorization", request.header("authorization")[:-4] + "0000")
    with pytest.raises(sigv4.SignatureError) as caught:
        judge(wrong)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_S06_early_end_is_incomplete_at_every_byte():
    body = b"".join(signed_chunks((b"hello", b"world"), seed_of(request_for(SIGNED))))
    for cut in range(len(body)):
        decoder = signed_decoder(10)
        decoder.feed(body[:cut])
        with pytest.raises(sigv4.SignatureError) as caught:
            decoder.finish()
        assert caught.value.code == "IncompleteBody"
