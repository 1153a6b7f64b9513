"""How a request's body is protected: what ``x-amz-content-sha256`` says.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sigv4.canonical import HEX_DIGITS, HttpRequest
from sigv4.chunked import ChunkDecoder, ChunkSigner
from sigv4.errors import SignatureError, invalid_argument

HEADER: Final = b"x-amz-content-sha256"
UNSIGNED_PAYLOAD: Final = b"UNSIGNED-PAYLOAD"


class PayloadMode(Enum):
    """The ways a body can be protected. ECDSA (SigV4A) words are refused before they become one."""

    SIGNED = "hexadecimal SHA-256"
    UNSIGNED = "UNSIGNED-PAYLOAD"
    STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


_WORDS: Final = {mode.value.encode(): mode for mode in PayloadMode if mode is not PayloadMode.SIGNED}
_ECDSA_WORDS: Final = frozenset(
    (b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER")
)
_STREAMING: Final = frozenset(mode for mode in PayloadMode if mode.name.startswith("STREAMING"))
_WITH_TRAILER: Final = frozenset((PayloadMode.STREAMING_SIGNED_TRAILER, PayloadMode.STREAMING_UNSIGNED_TRAILER))


@dataclass(frozen=True, slots=True)
class Payload:
    """What the body must turn out to be. ``sha256`` is the digest of the whole body in mode ``SIGNED``, else None.

    ``signer`` holds the chain of chunk signatures in the signed streaming modes, else None.
    """

    mode: PayloadMode
    sha256: bytes | None = None
    signer: ChunkSigner | None = field(default=None, repr=False)

    @property
    def is_streaming(self) -> bool:
        """Whether the body is in aws-chunked framing: only PutObject and UploadPart may have one."""
        return self.mode in _STREAMING

    def decoder(self, *, decoded_length: int, trailer_names: Collection[str]) -> ChunkDecoder | None:
        """A fresh decoder of the aws-chunked body, or None when the body is plain.

        ``decoded_length`` is ``x-amz-decoded-content-length`` in bytes, ``trailer_names`` the names that
        ``x-amz-trailer`` announces. Raises SignatureError (MalformedTrailerError) for names that cannot be kept.
        """
        if not self.is_streaming:
            return None
        return ChunkDecoder(
            decoded_length=decoded_length,
            trailer_names=trailer_names,
            with_trailer=self.mode in _WITH_TRAILER,
            signer=self.signer,
        )


def parse_word(word: bytes) -> tuple[PayloadMode, bytes | None]:
    """The mode a content-sha256 value stands for, and the digest it gives. Raises SignatureError for any other word."""
    mode = _WORDS.get(word)
    if mode is not None:
        return mode, None
    if len(word) == 64 and not word.translate(None, HEX_DIGITS):
        return PayloadMode.SIGNED, bytes.fromhex(word.decode("ascii"))
    if word in _ECDSA_WORDS:
        raise SignatureError("NotImplemented", "SigV4A (AWS4-ECDSA-P256-SHA256) is not supported.")
    accepted = ", ".join(mode.value for mode in _WORDS.values())
    message = f"x-amz-content-sha256 must be {accepted} or a valid sha256 value."
    raise invalid_argument("x-amz-content-sha256", message, word)


def anonymous_payload(request: HttpRequest) -> Payload:
    """How the body of an unsigned request is protected: by what its header promises, which still has to hold.

    Raises SignatureError for a word that needs a signature, an unknown word, or two such headers.
    """
    words = [value for name, value in request.headers if name == HEADER]
    if not words:
        return Payload(PayloadMode.UNSIGNED)
    if len(words) > 1:
        raise SignatureError("InvalidRequest", "The request has more than one x-amz-content-sha256 header.")
    mode, digest = parse_word(words[0])
    if mode in (PayloadMode.STREAMING_SIGNED, PayloadMode.STREAMING_SIGNED_TRAILER):
        raise SignatureError("InvalidRequest", "A request with signed chunks must itself be signed.")
    return Payload(mode, digest)
