"""Stored secrets: AES-256-GCM, each bound to the place it is stored in.

The additional data is ``tenant|column|row|master key id``, so a ciphertext moved to another tenant, column or row does
not open. A sealed value is ``version (1) | master key id (8) | nonce (12, random) | ciphertext and tag``; the id says
which master key opens it. GCM with random nonces: NIST SP 800-38D §8.2.2, far below its bound of 2**32 values a key.
"""

import base64
import binascii
import contextlib
import os
import secrets
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.config import Settings

KEY_BYTES: Final = 32
FILE_NAME: Final = "master.key"

_VERSION: Final = b"\x01"
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(_VERSION) + _ID_BYTES + _NONCE_BYTES


class SecretError(Exception):
    """A master key cannot be read, or a stored secret does not open. The text is one line and holds no secret."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The key that seals all others. ``id`` is derived from it and is no secret. ``earlier`` are the keys it replaced:
    they open what they sealed, and seal nothing any more."""

    key: bytes = field(repr=False)
    id: bytes
    earlier: tuple["MasterKey", ...] = ()

    @classmethod
    def of(cls, key: bytes) -> "MasterKey":
        """From 32 raw bytes. Raises SecretError for any other length."""
        if len(key) != KEY_BYTES:
            raise SecretError(f"a master key has {KEY_BYTES} bytes, this one has {len(key)}")
        return cls(key, sha256(b"rowlock master key id" + key).digest()[:_ID_BYTES])

    @classmethod
    def load(cls, settings: Settings, data_dir: Path) -> "MasterKey":
        """From ``ROWLOCK_MASTER_KEY``, else the file of ``ROWLOCK_MASTER_KEY_FILE``, else ``master.key`` in
        ``data_dir``, which is made on first use; with those of ``ROWLOCK_PREVIOUS_MASTER_KEYS``. Blocks on the disk.
        Raises SecretError."""
        earlier: tuple[MasterKey, ...] = ()
        if settings.previous_master_keys is not None:
            texts = settings.previous_master_keys.get_secret_value().encode().split(b",")
            earlier = tuple(cls.of(_decode(text, "ROWLOCK_PREVIOUS_MASTER_KEYS")) for text in texts)
        if settings.master_key is not None:
            current = cls.of(_decode(settings.master_key.get_secret_value().encode(), "ROWLOCK_MASTER_KEY"))
        elif settings.master_key_file is not None:
            current = cls.of(_read(settings.master_key_file))
        else:
            current = cls.of(_read_or_create(data_dir / FILE_NAME))
        return replace(current, earlier=earlier)

    def find(self, key_id: bytes) -> "MasterKey | None":
        """The key of this id among this one and the earlier ones."""
        return next((key for key in (self, *self.earlier) if key.id == key_id), None)

    def seal(self, plaintext: str, *, tenant: str, column: str, row: str) -> bytes:
        """Encrypt for one place."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self.key).encrypt(nonce, plaintext.encode(), self._place(tenant, column, row))
        return b"".join((_VERSION, self.id, nonce, sealed))

    def open(self, sealed: bytes, *, tenant: str, column: str, row: str) -> str:
        """Decrypt what was sealed for this place. Raises SecretError: another master key, another place, tampering."""
        if len(sealed) < _HEAD_BYTES or not sealed.startswith(_VERSION):
            raise SecretError(f"the secret stored in {column} is not in a known format")
        key_id = sealed[len(_VERSION) : len(_VERSION) + _ID_BYTES]
        key = self.find(key_id)
        if key is None:
            raise SecretError(
                f"the secret stored in {column} was sealed with master key {key_id.hex()}, not {self.id.hex()}"
            )
        nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
        try:
            return AESGCM(key.key).decrypt(nonce, sealed[_HEAD_BYTES:], key._place(tenant, column, row)).decode()
        except InvalidTag:
            raise SecretError(f"the secret stored in {column} was changed or moved") from None

    def _place(self, tenant: str, column: str, row: str) -> bytes:
        if any("|" in part for part in (tenant, column, row)):
            raise ValueError("the name of a place cannot hold '|'")
        return "|".join((tenant, column, row, self.id.hex())).encode()


def _decode(text: bytes, origin: str) -> bytes:
    """Base64, standard or URL-safe alphabet."""
    try:
        return base64.b64decode(text.strip().translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except (ValueError, binascii.Error):
        raise SecretError(f"{origin} is not base64") from None


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SecretError(f"cannot read the master key {path}: {error.strerror}") from None
    return content if len(content) == KEY_BYTES else _decode(content, str(path))


def _read_or_create(path: Path) -> bytes:
    """The key in this file, or a new one. Of several processes that start at once, one makes it and all agree."""
    with contextlib.suppress(FileExistsError):
        if not path.exists():
            try:
                _create(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            except FileExistsError:
                raise
            except OSError as error:
                raise SecretError(f"cannot create the master key {path}: {error.strerror}") from None
    return _read(path)


def _create(path: Path, content: bytes) -> None:
    """Make the file complete and durable, or not at all. Raises FileExistsError when another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Unlike rename, link never replaces: the first key stays the key.
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
