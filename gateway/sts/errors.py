"""How STS says no: its own codes, and its XML (https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html)."""

from collections.abc import Mapping
from typing import Final

from gateway.errors import StorageError


class StsError(Exception):
    """A refusal with a code of STS."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code: Final = code
        self.message: Final = message
        self.status: Final = status
        super().__init__(f"{code}: {message}")


def invalid(message: str) -> StsError:
    """A parameter that is missing, malformed or not supported."""
    return StsError("ValidationError", message)


# What the core refuses, in STS's words.
_CODES: Final[Mapping[str, tuple[str, int]]] = {
    "AccessDenied": ("AccessDenied", 403),
    "AuthorizationHeaderMalformed": ("IncompleteSignature", 400),
    "AuthorizationQueryParametersError": ("IncompleteSignature", 400),
    "ExpiredToken": ("ExpiredTokenException", 400),
    "InvalidAccessKeyId": ("InvalidClientTokenId", 403),
    "InvalidArgument": ("IncompleteSignature", 400),
    "InvalidRequest": ("IncompleteSignature", 400),
    "InvalidToken": ("InvalidClientTokenId", 403),
    "MaxMessageLengthExceeded": ("ValidationError", 400),
    "RequestTimeTooSkewed": ("SignatureDoesNotMatch", 403),
}
_MESSAGES: Final[Mapping[str, str]] = {
    "InvalidClientTokenId": "The security token included in the request is invalid",
}


def of_storage_error(error: StorageError) -> StsError:
    """The same refusal as STS writes it; what has no counterpart keeps its name and status."""
    code, status = _CODES.get(error.code.name, (error.code.name, error.code.status))
    return StsError(code, _MESSAGES.get(code, error.message), status)
