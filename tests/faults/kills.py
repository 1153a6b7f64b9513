"""Kill processes of a running server at random moments under load, and prove afterwards that nothing was lost.

``python -m tests.faults.kills --kills 50`` prints what it killed and what the clients saw; it leaves with status 1 on
the first breach of a promise. Same seed, same choices; the moments differ as machines do.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.faults.history import History
from tests.faults.load import BUCKET, Load
from tests.faults.server import Server, kill

VICTIMS: Final[dict[str, Callable[[Server], list[int | None]]]] = {
    "parent": lambda server: [server.pid],
    "worker": lambda server: [*server.workers()[:1]],
    "background worker": lambda server: [server.background()],
    "postmaster": lambda server: [server.postmaster()],
    "postmaster and its supervisor": lambda server: [server.postgres_supervisor(), server.postmaster()],
    "everything": lambda server: [*server.everybody()],
}
KILLS_A_ROUND: Final = 4
CLIENTS: Final = 6


@dataclass
class Result:
    """What was done and seen."""

    kills: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    starts: int = 0
    operations: int = 0
    objects: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills.total()} kills and {self.starts} starts in {self.rounds} rounds, "
            f"{self.operations} operations checked, "
            f"{self.objects} objects and parts compared\nkilled: {dict(self.kills.most_common())}\n"
            f"outcomes: {dict(sorted(self.outcomes.items()))}"
        )


def run(kills: int, seconds: float, seed: int, say: Callable[[str], None]) -> Result:
    """Rounds of load and kills until there were ``kills``, or ``seconds`` are over. Raises AssertionError."""
    chance = random.Random(seed)
    deadline = time.monotonic() + seconds
    result = Result()
    history = History()
    with Server() as server:
        server.client().create_bucket(Bucket=BUCKET)
        while result.kills.total() < kills and time.monotonic() < deadline:
            _round(server, history, chance, result, kills - result.kills.total())
            say(str(result))
        _read_everything_again(server, history)
    return result


def _round(server: Server, history: History, chance: random.Random, result: Result, left: int) -> None:
    result.rounds += 1
    prefix = f"r{result.rounds:03}"
    load = Load(server.client(), history, clients=CLIENTS, seed=chance.randrange(1 << 32), prefix=prefix, keys=24)
    load.start()
    try:
        for _ in range(min(KILLS_A_ROUND, left)):
            time.sleep(chance.uniform(0.3, 1.5))
            victim = chance.choice(sorted(VICTIMS))
            pids = [pid for pid in VICTIMS[victim](server) if pid is not None]
            if pids:
                kill(*pids)
                result.kills[victim] += 1
            if server.pid in pids:
                server.wait_end()
            # It ends by itself when its Postgres is killed again and again within a minute: started like after a kill.
            if not server.is_alive():
                result.starts += 1
                server.start()
        time.sleep(0.5)
    finally:
        load.stop()
    if not server.is_alive():
        server.start()
    server.wait_ready()
    load.read_all()
    report = server.assert_consistent()
    result.objects = report["objects"] + report["parts"] + report["inline_objects"]
    result.outcomes += load.outcomes
    assert not load.faults, load.faults
    keys = [key for key in history.names() if key.startswith(prefix)]
    result.operations += sum(len(history.of(key)) for key in keys)
    violations = history.violations(keys)
    assert not violations, "not linearizable:\n" + "\n\n".join(violations)


def _read_everything_again(server: Server, history: History) -> None:
    """What was acknowledged in the first round has survived the kills of all others."""
    reader = Load(server.client(), history, clients=0, seed=0, prefix="", keys=0)
    keys = history.names()
    for key in keys:
        reader.get(key, patient=True)
    assert not reader.faults, reader.faults
    violations = history.violations(keys)
    assert not violations, "lost later:\n" + "\n\n".join(violations)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no round after this time")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    try:
        run(asked.kills, asked.seconds, asked.seed, lambda line: print(line, flush=True))
    except AssertionError as error:
        print(f"seed {asked.seed}: {error}", file=sys.stderr)
        return 1
    print(f"nothing was lost, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
