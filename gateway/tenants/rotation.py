"""Rotation of the master key while everything runs: what an earlier key sealed is sealed anew, a page at a time.

It begins where it stopped, because it only looks for what is sealed with another key; gateways open both meanwhile
(``ROWLOCK_PREVIOUS_MASTER_KEYS``). A secret that somebody replaces at this moment is left to who replaced it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway import statements
from gateway.tenants.directory import SEALED, sealed_column
from gateway.tenants.jwks import JWK_COLUMN
from gateway.tenants.registry import SECRET_COLUMN, ControlDatabase
from gateway.tenants.secrets import MasterKey

PAGE_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many rows were sealed anew."""

    access_keys: int
    tenants: int
    jwks: int


async def sealed_by(database: ControlDatabase) -> Mapping[str, int]:
    """How many secrets each master key has sealed, by the id of the key in hex. Raises StorageError."""
    rows = await database.fetch(statements.load("tenants")["sealed_by"], {})
    return {key_id: int(count) for key_id, count in rows}


async def rotate(database: ControlDatabase, master_key: MasterKey, page_size: int = PAGE_SIZE) -> Rotated:
    """Seal everything with ``master_key`` that one of its earlier keys sealed.

    Raises SecretError for what none of them opens, StorageError (ServiceUnavailable); what was done stays done.
    """
    rotation = _Rotation(database, master_key, page_size)
    return Rotated(await rotation.access_keys(), await rotation.tenants(), await rotation.jwks())


class _Rotation:
    def __init__(self, database: ControlDatabase, master_key: MasterKey, page_size: int) -> None:
        self._database: Final = database
        self._master_key: Final = master_key
        self._page: Final = {"key_id": master_key.id, "limit": page_size}
        self._statements: Final = statements.load("tenants")

    async def access_keys(self) -> int:
        done, after = 0, ""
        while rows := await self._fetch("stale_access_keys", **self._page, after=after):
            for tenant, row, before in rows:
                sealed = self._sealed_anew(before, tenant, SECRET_COLUMN, row)
                done += len(await self._fetch("reseal_access_key", row=row, before=before, sealed=sealed))
            after = rows[-1][1]
        return done

    async def tenants(self) -> int:
        done, after = 0, ""
        while rows := await self._fetch("stale_tenants", **self._page, after=after):
            for tenant, *before in rows:
                values: dict[str, Any] = {"row": tenant}
                for name, sealed in zip(SEALED, before, strict=True):
                    values[f"{name}_before"] = sealed
                    values[name] = self._sealed_anew(sealed, tenant, sealed_column(name), tenant)
                done += len(await self._fetch("reseal_tenant", **values))
            after = rows[-1][0]
        return done

    async def jwks(self) -> int:
        done, after = 0, ("", "")
        while rows := await self._fetch("stale_jwks", **self._page, after_tenant=after[0], after_kid=after[1]):
            for tenant, kid, before in rows:
                sealed = self._sealed_anew(before, tenant, JWK_COLUMN, kid)
                done += len(await self._fetch("reseal_jwk", tenant=tenant, row=kid, before=before, sealed=sealed))
            after = rows[-1][:2]
        return done

    def _sealed_anew(self, sealed: bytes | None, tenant: str, column: str, row: str) -> bytes | None:
        if sealed is None:
            return None
        opened = self._master_key.open(bytes(sealed), tenant=tenant, column=column, row=row)
        return self._master_key.seal(opened, tenant=tenant, column=column, row=row)

    async def _fetch(self, statement_name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self._database.fetch(self._statements[statement_name], parameters)
