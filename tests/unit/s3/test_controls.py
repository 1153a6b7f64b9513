"""Control characters in documents: they arrive as they were meant, and nothing else is changed."""

import pytest

from gateway.errors import StorageError
from gateway.s3 import controls
from gateway.s3.xml import parse


def _key(document: bytes) -> str:
    protected, has_controls = controls.protect(document)
    text = parse(protected, "Delete")[0].text or ""
    return str(controls.restore(text)) if has_controls else text


@pytest.mark.parametrize("code", [*range(1, 9), 0xB, 0xC, *range(0xE, 0x20)])
@pytest.mark.parametrize("form", ["raw", "hexadecimal", "decimal"])
def test_control_character_is_read_in_every_form(code: int, form: str) -> None:
    written = {"raw": chr(code), "hexadecimal": f"&#x{code:X};", "decimal": f"&#{code};"}[form]
    assert _key(f"<Delete><Key>a{written}b</Key></Delete>".encode()) == f"a{chr(code)}b"


@pytest.mark.parametrize("text", ["a&#13;b", "a&#x9;b", "tab\tnewline\n"])
def test_legal_character_is_left_to_the_parser(text: str) -> None:
    document = f"<Delete><Key>{text}</Key></Delete>".encode()
    assert controls.protect(document) == (document, False)


def test_stand_in_of_the_client_is_not_mistaken_for_ours() -> None:
    assert _key("<Delete><Key>\U000f0001</Key></Delete>".encode()) == "\U000f0001"
    with pytest.raises(StorageError, match="MalformedXML"):
        controls.protect("<Delete><Key>\U000f0001\x01</Key></Delete>".encode())


@pytest.mark.parametrize("written", ["&#0;", "&#x0;", "&#00;"])
def test_nul_is_refused(written: str) -> None:
    with pytest.raises(StorageError, match="MalformedXML"):
        controls.protect(f"<Delete><Key>{written}</Key></Delete>".encode())
