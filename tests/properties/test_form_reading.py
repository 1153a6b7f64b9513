"""Forms: however the body is cut into pieces, and whatever is done to it, the reader says the same or refuses."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.forms import BOUNDARY, FILE_TYPE, body, part
from gateway.errors import StorageError
from gateway.wire.body import BodyLimits, open_body
from gateway.wire.multipart import FormHead, FormReader
from sigv4 import Payload, PayloadMode
from tests.unit.wire.requests import request

CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters='"\\'), min_size=1, max_size=8
)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40).filter(lambda v: BOUNDARY not in v)
# Pieces of the boundary itself are what a parser stumbles over.
FILES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"\r\n--", f"\r\n--{BOUNDARY[:-1]}".encode(), b"-" * 20]),
    ),
    max_size=8,
).map(b"".join)


def reader_of(pieces: list[bytes]) -> FormReader:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(waiting)

    head = ((b"content-type", CONTENT_TYPE.encode()), (b"transfer-encoding", b"chunked"))
    opened = open_body(
        request("POST", b"/bucket", *head),
        receive,
        Payload(PayloadMode.UNSIGNED),
        BodyLimits(),
        1 << 22,
        length_required=True,
    )
    return FormReader(opened, CONTENT_TYPE)


async def read_form(content: bytes, cuts: list[int]) -> tuple[FormHead, bytes]:
    edges = [0, *sorted({cut % (len(content) + 1) for cut in cuts}), len(content)]
    reader = reader_of([content[start:end] for start, end in pairwise(edges) if end > start])
    form = await reader.head()
    file = bytearray()
    while piece := await reader.next_piece():
        file += piece
    return form, bytes(file)


CUTS = st.lists(st.integers(0, 1 << 16), max_size=40)


@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=5), file=FILES, file_name=NAMES, cuts=CUTS)
async def test_cuts_change_nothing(fields: list[tuple[str, str]], file: bytes, file_name: str, cuts: list[int]) -> None:
    fields = [(f"f-{name}", value) for name, value in fields]
    content = body(fields, file, file_name=file_name, after=[("submit", "Go")])
    form, found = await read_form(content, cuts)
    assert form == FormHead(tuple(fields), file_name, FILE_TYPE)
    assert found == file
    assert await read_form(content, list(range(len(content)))) == (form, found)


@given(file=FILES, cuts=CUTS, at=st.integers(0, 1 << 16), removed=st.integers(0, 40), inserted=st.binary(max_size=20))
@example(file=b"", cuts=[], at=0, removed=1 << 16, inserted=b"")
async def test_damage_is_refused_or_read_the_same_for_all_cuts(
    file: bytes, cuts: list[int], at: int, removed: int, inserted: bytes
) -> None:
    content = body({"key": "k", "policy": "p"}, file)
    at %= len(content)
    damaged = content[:at] + inserted + content[at + removed :]

    async def outcome(cuts: list[int]) -> Any:
        try:
            return await read_form(damaged, cuts)
        except StorageError as error:
            return error.code.name, error.code.status

    whole = await outcome([])
    assert await outcome(cuts) == whole
    assert isinstance(whole[0], FormHead) or whole[1] == 400


@pytest.mark.parametrize(
    ("form_data", "name", "file_name"),
    [
        ('form-data; name="file"; filename="a.txt"', "file", "a.txt"),
        ("form-data; name=file; filename=a.txt", "file", "a.txt"),
        ('FORM-DATA;name="FILE";filename="a;b=\\"c.txt"', "file", 'a;b="c.txt'),
        ('form-data; name="file"; filename="C:\\dir\\a.txt"', "file", "C:\\dir\\a.txt"),
        ('form-data; name="file"', "file", ""),
    ],
)
async def test_content_disposition(form_data: str, name: str, file_name: str) -> None:
    content = f"--{BOUNDARY}\r\nContent-Disposition: {form_data}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()
    assert await read_form(content, []) == (FormHead((), file_name), b"x")


@pytest.mark.parametrize("size", [20 * 1024 + 1, 1 << 20])
async def test_fields_before_the_file_are_bounded(size: int) -> None:
    many = b"".join(part(f"f{number}", b"v" * 100) for number in range(size // 100))
    for head in (part("key", b"k" * size), many, part("n" * 4000, b"") * (size // 4000 + 1)):
        with pytest.raises(StorageError, match="MaxPostPreDataLengthExceeded"):
            await read_form(head + body({}, b"x"), [])


async def test_charset_field_is_the_default_of_those_after_it() -> None:
    fields = part("_charset_", b"windows-1252") + part("key", b"gr\xfcn\x80")
    form, _ = await read_form(fields + body({}, b""), [])
    assert form.fields == (("_charset_", "windows-1252"), ("key", "grün€"))


async def test_no_piece_is_longer_than_what_arrived() -> None:
    file = bytes(range(256)) * 1000
    content = body({"key": "k"}, file)
    reader = reader_of([content[start : start + 500] for start in range(0, len(content), 500)])
    await reader.head()
    pieces = []
    while piece := await reader.next_piece():
        pieces.append(piece)
    assert b"".join(pieces) == file
    assert max(map(len, pieces)) <= 500
