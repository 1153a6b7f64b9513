"""Access key ids and secrets nobody can guess."""

import base64
import secrets
from typing import Final

_ID_PREFIX: Final = "RK"
_ID_LENGTH: Final = 20
_SECRET_BYTES: Final = 30


def new_access_key_id() -> str:
    """20 characters: ``RK`` and 90 random bits in base32."""
    return _ID_PREFIX + base64.b32encode(secrets.token_bytes(15)).decode()[: _ID_LENGTH - len(_ID_PREFIX)]


def new_secret() -> str:
    """40 characters: 240 random bits."""
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
