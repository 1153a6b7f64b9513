"""Which rule lets a request in, and how long a worker remembers the rules of a bucket."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.operations.cors_rules import CorsRules, matching_rule
from gateway.operations.shapes import CORSRule


def rule(*origins: str, methods: tuple[str, ...] = ("GET",), headers: tuple[str, ...] = ()) -> CORSRule:
    return CORSRule(allowed_origins=origins, allowed_methods=methods, allowed_headers=headers)


@pytest.mark.parametrize(
    ("pattern", "origin", "matches"),
    [
        ("*", "http://a", True),
        ("http://a", "http://a", True),
        ("http://a", "http://A", False),
        ("http://a", "http://ab", False),
        ("http://*", "http://", True),
        ("*.a", "x.a", True),
        ("*.a", "a", False),
        ("start*end", "startend", True),
        ("start*end", "start1end", True),
        ("start*end", "0start1end", False),
        ("ab*ba", "aba", False),
    ],
)
def test_origin_pattern(pattern: str, origin: str, matches: bool) -> None:
    assert (matching_rule([rule(pattern)], origin, "GET") is not None) is matches


def test_first_rule_that_fits_wins() -> None:
    rules = [rule("*", methods=("PUT",)), rule("http://b", "http://a"), rule("*")]
    assert matching_rule(rules, "http://a", "GET") == (rules[1], "http://a")
    assert matching_rule(rules, "http://c", "GET") == (rules[2], "*")
    assert matching_rule(rules, "http://c", "DELETE") is None


def test_every_asked_header_must_be_allowed() -> None:
    rules = [rule("*", headers=("X-Amz-*", "content-type"))]
    assert matching_rule(rules, "http://a", "GET", ["x-amz-date", "Content-Type"]) is not None
    assert matching_rule(rules, "http://a", "GET", ["x-amz-date", "range"]) is None
    assert matching_rule([rule("*")], "http://a", "GET", ["range"]) is None


@dataclass
class Database:
    """Answers find_configuration and counts how often it is asked."""

    document: Any = None
    seen: str = "visible"
    asked: list[str] = field(default_factory=list)

    async def fetch(self, scope: Any, statement: Any, *, bucket: str, kind: str) -> list[Any]:
        assert (scope.role, kind) == ("rowlock_engine", "cors")
        self.asked.append(bucket)
        return [(self.document, self.seen)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


STORED = {"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]}


async def test_rules_are_remembered_for_a_second() -> None:
    clock, database = Clock(), Database(STORED)
    rules = CorsRules(monotonic=clock)
    assert await rules.find(database, "b") == (rule("*"),)  # type: ignore[arg-type]
    clock.now = 0.99
    database.document = None
    assert await rules.find(database, "b") == (rule("*"),)  # type: ignore[arg-type]
    clock.now = 1.0
    assert await rules.find(database, "b") == ()  # type: ignore[arg-type]
    assert len(database.asked) == 2


async def test_missing_bucket_is_remembered_too() -> None:
    database = Database(seen="none")
    rules = CorsRules(monotonic=Clock())
    assert [await rules.find(database, "b") for _ in range(2)] == [None, None]  # type: ignore[arg-type]
    assert database.asked == ["b"]


async def test_forget_counts_at_once_even_for_an_answer_under_way() -> None:
    rules = CorsRules(monotonic=Clock())

    class Changing(Database):
        async def fetch(self, *positional: Any, **named: Any) -> list[Any]:
            answer = await super().fetch(*positional, **named)
            rules.forget("b")
            return answer

    database = Changing(STORED)
    for _ in range(2):
        await rules.find(database, "b")  # type: ignore[arg-type]
    assert database.asked == ["b", "b"]


async def test_memory_is_bounded() -> None:
    database = Database(STORED)
    rules = CorsRules(max_entries=2, monotonic=Clock())
    for bucket in ("a", "b", "c", "b", "a"):
        await rules.find(database, bucket)  # type: ignore[arg-type]
    assert database.asked == ["a", "b", "c", "a"]
