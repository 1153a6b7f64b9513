"""Continuation tokens: opaque to clients, the last entry of a page to us."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final

from gateway.errors import StorageError

# Told apart from text that merely happens to be base64, and from later forms of token.
_MARK: Final = b"1:"


def encode_token(entry: str) -> str:
    """A token to resume after ``entry``."""
    return urlsafe_b64encode(_MARK + entry.encode()).decode()


def decode_token(token: str) -> str:
    """The entry a token stands for. Raises InvalidArgument for a token that was not made here."""
    try:
        decoded = urlsafe_b64decode(token.encode())
        if not decoded.startswith(_MARK) or encode_token(entry := decoded[len(_MARK) :].decode()) != token:
            raise ValueError("not a token of ours")
    except (Base64Error, ValueError) as error:
        raise StorageError(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
            ArgumentValue=token[:100],
        ) from error
    return entry
