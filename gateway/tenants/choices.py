"""What is chosen for a tenant besides its limits: its doors, its backends, and whose tokens its users bring."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from gateway.tenants.errors import RegistryError
from gateway.texts import is_of_this_machine, is_plain_url

_MAX_NAMED: Final = 20
_MAX_URL_LENGTH: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFeatures:
    """The doors a tenant has, of those the server has open."""

    s3: bool = True
    rest: bool = True
    sts: bool = True

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TenantFeatures":
        """Read a stored or given document. Raises RegistryError."""
        names = {one.name for one in fields(cls)}
        for name, value in document.items():
            if name not in names:
                raise RegistryError(f"there is no feature {name!r}: they are {', '.join(sorted(names))}")
            if not isinstance(value, bool):
                raise RegistryError(f"the feature {name} is true or false")
        return cls(**document)


ALL_FEATURES: Final = TenantFeatures()


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantBackends:
    """``default`` is the backend of buckets that name none (None: the server's own). ``named`` are backends of this
    tenant alone, as the server's settings describe theirs; one of the server's that has the same name is hidden."""

    default: str | None = None
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TenantBackends":
        """Read a stored or given document. Raises RegistryError; whether a backend can be used is not looked at."""
        unknown = sorted(set(document) - {"default", "named"})
        if unknown:
            raise RegistryError(f"backends have the members default and named, not {unknown[0]!r}")
        default, named = document.get("default"), document.get("named") or {}
        if default is not None and not isinstance(default, str):
            raise RegistryError("the default of backends is the name of one")
        if not isinstance(named, Mapping) or not all(isinstance(options, Mapping) for options in named.values()):
            raise RegistryError('the named backends are of the form {"name": {"kind": …}, …}')
        if len(named) > _MAX_NAMED:
            raise RegistryError(f"a tenant names at most {_MAX_NAMED} backends of its own")
        return cls(default=default, named=named)


NO_BACKENDS: Final = TenantBackends()


def check_jwks_url(url: str) -> None:
    """Raise RegistryError unless keys can be fetched from this URL: https, or http on this machine; no password."""
    usable = is_plain_url(url, ("https",)) or (is_plain_url(url) and is_of_this_machine(url))
    if not usable or len(url) > _MAX_URL_LENGTH:
        raise RegistryError("a jwks_url is an https URL without user and password")
