"""The cross-origin rules of buckets as requests meet them: which rule lets one in, and a short memory of the rules.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html. Browsers ask before they authenticate, so the rules
are read as the engine; nothing else of the bucket is told.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.context import system_scope
from gateway.metadata import configurations
from gateway.metadata.configurations import Kind
from gateway.metadata.records import Visibility
from gateway.metadata.session import Session
from gateway.operations.shapes import CORSRule

METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "POST", "PUT"})


def matching_rule(
    rules: Sequence[CORSRule], origin: str, method: str, headers: Sequence[str] = ()
) -> tuple[CORSRule, str] | None:
    """The first rule that lets this in, and the origin of it that did; None if no rule does.

    Origins are compared as they are, names of headers without case. One asterisk stands for any text.
    """
    for rule in rules:
        if method not in rule.allowed_methods:
            continue
        found = next((pattern for pattern in rule.allowed_origins if _matches(pattern, origin)), None)
        if found is not None and all(
            any(_matches(pattern.lower(), name.lower()) for pattern in rule.allowed_headers) for name in headers
        ):
            return rule, found
    return None


def _matches(pattern: str, text: str) -> bool:
    before, asterisk, after = pattern.partition("*")
    if not asterisk:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


class CorsRules:
    """The rules of buckets as one worker knows them: at most ``max_entries``, none older than ``ttl_seconds``.

    A change made by this worker counts at once (``forget``), one made by another after ``ttl_seconds``.
    """

    def __init__(
        self, *, ttl_seconds: float = 1.0, max_entries: int = 1024, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_seconds: Final = ttl_seconds
        self._max_entries: Final = max_entries
        self._monotonic: Final = monotonic
        self._entries: Final[OrderedDict[str, tuple[float, tuple[CORSRule, ...] | None]]] = OrderedDict()
        self._changes = 0

    async def find(self, session: Session, bucket: str) -> tuple[CORSRule, ...] | None:
        """The rules, none if the bucket has none; None if there is no such bucket. Raises StorageError."""
        now = self._monotonic()
        entry = self._entries.get(bucket)
        if entry is not None and entry[0] > now:
            self._entries.move_to_end(bucket)
            return entry[1]
        changes = self._changes
        document, seen = await configurations.find(session, system_scope("storage.s3.cors"), bucket, Kind.CORS)
        rules = None if seen is Visibility.NONE else rules_of(document) if document is not None else ()
        # An answer that was under way during a change may be older than the change.
        if changes == self._changes:
            self._entries[bucket] = (now + self._ttl_seconds, rules)
            self._entries.move_to_end(bucket)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        return rules

    def forget(self, bucket: str) -> None:
        """The rules of this bucket were changed."""
        self._changes += 1
        self._entries.pop(bucket, None)


def rules_of(document: Mapping[str, Any]) -> tuple[CORSRule, ...]:
    """Read the stored configuration back."""
    return tuple(
        CORSRule(
            id=rule.get("ID"),
            allowed_origins=tuple(rule["AllowedOrigins"]),
            allowed_methods=tuple(rule["AllowedMethods"]),
            allowed_headers=tuple(rule.get("AllowedHeaders", ())),
            expose_headers=tuple(rule.get("ExposeHeaders", ())),
            max_age_seconds=rule.get("MaxAgeSeconds"),
        )
        for rule in document["CORSRules"]
    )
