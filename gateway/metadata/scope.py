"""The scope as Postgres settings: the statement that begins every transaction, and the values it is given."""

from operator import attrgetter
from typing import Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.parameters import encode_text, encode_texts
from gateway.statements import Statement

ALLOWED_ROLES: Final = frozenset({"anon", "authenticated", "s3_account", "service_role", "rowlock_engine"})
SET_SCOPE: Final[Statement] = statements.load("session")["set_scope"]

# The statement names its parameters after the fields of Scope; only the time limits are not of the request.
_LIMITS: Final = ("statement_timeout", "lock_timeout")
_of_scope: Final = attrgetter(*(name for name in SET_SCOPE.parameters if name not in _LIMITS))
if SET_SCOPE.parameters[: len(_LIMITS)] != _LIMITS:
    raise RuntimeError("set_scope must begin with its time limits")


class ScopeValues:
    """Turns scopes into the parameters of ``SET_SCOPE``, as text or encoded for the wire."""

    def __init__(self, statement_timeout_seconds: float, further_roles: frozenset[str] = frozenset()) -> None:
        self._roles = ALLOWED_ROLES | further_roles
        self._limits = [f"{statement_timeout_seconds * 1000:.0f}ms"] * len(_LIMITS)
        self._encoded_limits = [encode_text(limit) for limit in self._limits]

    def texts(self, scope: Scope) -> list[str]:
        """In ``$n`` order. Raises AccessDenied for a role that is not allowed."""
        return [*self._limits, *self._fields(scope)]

    def encoded(self, scope: Scope) -> list[bytes]:
        """The same encoded. Raises AccessDenied, and psycopg.DataError for text Postgres cannot hold."""
        fields = self._fields(scope)
        # All at once: no field can hold the separator, so a part too many betrays one that does.
        encoded = encode_texts("\0".join(fields), len(fields))
        return [*self._encoded_limits, *encoded]

    def _fields(self, scope: Scope) -> tuple[str, ...]:
        if scope.role not in self._roles:
            raise StorageError("AccessDenied")
        fields: tuple[str, ...] = _of_scope(scope)
        return fields
