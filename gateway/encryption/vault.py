"""Makes data keys and opens stored ones, with the master keys and those that customers send."""

from gateway.encryption.keys import SSE_C, DataKey, Purpose, StoredEncryption, WrongKey
from gateway.tenants.secrets import MasterKey


class UnknownMasterKey(Exception):
    """An object was written under a master key this server does not have. The text names it by its id."""


class Vault:
    """The data keys of one tenant. New ones are wrapped with the current master key, or with a customer's."""

    def __init__(self, master_key: MasterKey, tenant_id: str) -> None:
        self._master_key = master_key
        self._tenant_id = tenant_id

    def new_key(self, purpose: Purpose, customer_secret: bytes | None = None) -> tuple[DataKey, StoredEncryption]:
        """A fresh data key and what to store of it."""
        key = DataKey.new()
        return key, self._stored(key, purpose, customer_secret)

    def purpose(self, method: str, kms_key_id: str | None = None, kms_context: str | None = None) -> Purpose:
        """What a new data key is for."""
        return Purpose(self._tenant_id, method, kms_key_id, kms_context)

    def unlock(self, stored: StoredEncryption, customer_secret: bytes | None = None) -> DataKey:
        """The data key. Raises WrongKey for another customer's key, UnknownMasterKey."""
        purpose = stored.purpose(self._tenant_id)
        if stored.method == SSE_C:
            if customer_secret is None:
                raise WrongKey
            return purpose.unwrap(customer_secret, stored.data_key)
        key_id = stored.master_key_id or ""
        try:
            master_key = self._master_key.find(bytes.fromhex(key_id))
        except ValueError:
            master_key = None
        if master_key is None:
            raise UnknownMasterKey(f"master key {key_id}")
        return purpose.unwrap(master_key.key, stored.data_key)

    def wrap_again(self, key: DataKey, stored: StoredEncryption) -> StoredEncryption:
        """The same data key under the current master key, for a row that shares the ciphertext."""
        return self._stored(key, stored.purpose(self._tenant_id), None)

    def _stored(self, key: DataKey, purpose: Purpose, customer_secret: bytes | None) -> StoredEncryption:
        if purpose.method == SSE_C:
            if customer_secret is None:
                raise ValueError("a customer's key is missing")
            return StoredEncryption(SSE_C, purpose.wrap(customer_secret, key))
        return StoredEncryption(
            purpose.method,
            purpose.wrap(self._master_key.key, key),
            self._master_key.id.hex(),
            purpose.kms_key_id,
            purpose.kms_context,
        )
