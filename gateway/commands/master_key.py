"""``rowlock master-key``: which master keys have sealed the stored secrets; seal them anew with the one in use."""

import json

from cyclopts import App

from gateway.administration import Administration
from gateway.commands.administer import AsJson, administer
from gateway.tenants import rotation

app = App(name="master-key", help="Rotate the key that stored secrets are sealed with.")


@app.command(name="status")
def status(*, as_json: AsJson = False) -> None:
    """Show how many secrets each master key has sealed, by the key's id, and which key is in use."""

    async def work(administration: Administration) -> tuple[str, dict[str, int]]:
        return administration.master_key.id.hex(), dict(await rotation.sealed_by(administration.control))

    current, counts = administer(work)
    if as_json:
        print(json.dumps({"current": current, "sealed": counts}))
        return
    for key_id, count in counts.items():
        print(f"{key_id}  {count} secrets{'  (in use)' if key_id == current else ''}")


@app.command(name="rotate")
def rotate(*, as_json: AsJson = False) -> None:
    """Seal everything anew with the master key in use, while gateways run; begun again, it goes on where it stopped.

    First give every gateway the new key (ROWLOCK_MASTER_KEY or its file) and the old one in
    ROWLOCK_PREVIOUS_MASTER_KEYS. Objects that were encrypted under the old key still need it: it stays there for them.
    """
    done = administer(lambda administration: rotation.rotate(administration.control, administration.master_key))
    counts = {"access_keys": done.access_keys, "tenants": done.tenants, "jwks": done.jwks}
    print(json.dumps(counts) if as_json else "  ".join(f"{name}: {count}" for name, count in counts.items()))
