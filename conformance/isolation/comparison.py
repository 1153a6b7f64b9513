"""Asks the same about what is another's and about what is nobody's, and tells every difference."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from conformance.isolation.names import Names
from conformance.isolation.wire import Answer, Request
from conformance.isolation.world import World

_READING = ("GET", "HEAD", "OPTIONS")


@dataclass(slots=True)
class Comparison:
    """Collects what was asked and what differed."""

    world: World
    asked: int = 0
    differences: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def ask(self, what: str, make: Callable[[Names], Request]) -> None:
        """Send the request about the other's and about nobody's; A is as before after each that changed something."""
        found = []
        for names in (self.world.others, self.world.nobodys):
            request = make(names)
            answer = self.world.wire.send(request)
            self.asked += 1
            self.statuses.add(answer.status)
            if request.method not in _READING and answer.status < 400:
                self.world.mine.database.restore()
            self._look_for_canaries(what, request, answer)
            found.append(answer.comparable(self.world.labels()))
        if found[0] != found[1]:
            self.differences.append(f"{what}:\n  other's  {found[0]}\n  nobody's {found[1]}")
        if found[0][0] >= 500 and found[0][0] != 501:
            self.differences.append(f"{what}: status {found[0][0]} {found[0][2]!r}")

    def _look_for_canaries(self, what: str, request: Request, answer: Answer) -> None:
        sent = repr(request) + unquote(request.target)
        if self.world.others.continuation_token in sent:
            sent += self.world.others.shared_key
        hidden = (*self.world.canaries, *self.world.secrets, *(name for name, _ in self.world.others.pairs()))
        self.differences += [
            f"{what}: the answer holds {text}" for text in hidden if answer.holds(text) and text not in sent
        ]
