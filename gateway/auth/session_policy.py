"""Session policies: the subset of IAM's language that narrows temporary credentials. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session: what is allowed is what both the
parent and the policy allow. Whatever is not understood is refused when the credentials are issued, never ignored.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from gateway.context import Attempt

# API_AssumeRole, Policy: the plain text "can't exceed 2,048 characters".
MAX_POLICY_CHARACTERS: Final = 2048

_VERSIONS: Final = frozenset({"2008-10-17", "2012-10-17"})
_ARN: Final = "arn:aws:s3:::"
_VALUES: Final[Mapping[str, Callable[[Attempt], str | None]]] = {
    "s3:prefix": lambda attempt: attempt.prefix,
    "s3:delimiter": lambda attempt: attempt.delimiter,
}


class MalformedPolicy(ValueError):
    """A policy that is not understood. The text is one line for its author."""


def matches(pattern: str, text: str) -> bool:
    """Whether ``*`` (any characters) and ``?`` (one) make the pattern the text, in time len(pattern) * len(text)."""
    at = star = marked = 0
    has_star = False
    position = 0
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            has_star, star, marked = True, at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[position]):
            at += 1
            position += 1
        elif has_star:
            at, marked = star + 1, marked + 1
            position = marked
        else:
            return False
    return all(character == "*" for character in pattern[at:])


@dataclass(frozen=True, slots=True)
class _Condition:
    """One operator on one key: any value fits, or none when it is negated. A key the request lacks fits a negation."""

    key: str
    values: tuple[str, ...]
    wildcards: bool
    negated: bool

    def holds(self, attempt: Attempt) -> bool:
        given = _VALUES[self.key](attempt)
        if given is None:
            return self.negated
        found = any(matches(value, given) if self.wildcards else value == given for value in self.values)
        return found is not self.negated


@dataclass(frozen=True, slots=True)
class _Statement:
    allows: bool
    actions: tuple[str, ...]
    except_actions: bool
    resources: tuple[str, ...]
    except_resources: bool
    conditions: tuple[_Condition, ...]

    def is_about(self, attempt: Attempt) -> bool:
        action, resource = attempt.action.lower(), _resource(attempt)
        return (
            any(matches(pattern, action) for pattern in self.actions) is not self.except_actions
            and any(matches(pattern, resource) for pattern in self.resources) is not self.except_resources
            and all(condition.holds(attempt) for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """A parsed policy: some statement must allow what is asked, and none may deny it."""

    statements: tuple[_Statement, ...]

    def permits(self, attempt: Attempt) -> bool:
        about = [statement for statement in self.statements if statement.is_about(attempt)]
        return bool(about) and all(statement.allows for statement in about)


_OPERATORS: Final[Mapping[str, tuple[bool, bool]]] = {
    "StringEquals": (False, False),
    "StringNotEquals": (False, True),
    "StringLike": (True, False),
    "StringNotLike": (True, True),
}


@lru_cache(maxsize=1024)
def parse(text: str) -> SessionPolicy:
    """A policy from its JSON. Raises MalformedPolicy for every policy of which a part is not understood."""
    if not 0 < len(text) <= MAX_POLICY_CHARACTERS:
        raise MalformedPolicy(f"A policy has 1 to {MAX_POLICY_CHARACTERS} characters.")
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise MalformedPolicy("The policy is not valid JSON.") from None
    if not isinstance(document, dict) or document.keys() - {"Version", "Id", "Statement"}:
        raise MalformedPolicy("The policy may have Version, Id and Statement.")
    if document.get("Version", "2008-10-17") not in _VERSIONS:
        raise MalformedPolicy("The policy's Version is not known.")
    given = document.get("Statement")
    statements = given if isinstance(given, list) else [given]
    if not statements:
        raise MalformedPolicy("The policy has no statement.")
    return SessionPolicy(tuple(_statement(each) for each in statements))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _statement(given: Any) -> _Statement:
    known = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
    if not isinstance(given, dict) or given.keys() - known or not isinstance(given.get("Sid", ""), str):
        raise MalformedPolicy(f"A statement may have {', '.join(sorted(known))}.")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("The Effect of a statement is Allow or Deny.")
    actions, except_actions = _one_of(given, "Action")
    resources, except_resources = _one_of(given, "Resource")
    for action in actions:
        if action != "*" and not action.lower().startswith("s3:"):
            raise MalformedPolicy("An action must be of s3, such as s3:GetObject.")
    for resource in resources:
        if resource != "*" and not resource.startswith(_ARN):
            raise MalformedPolicy(f"A resource must start with {_ARN}.")
        if "${" in resource:
            raise MalformedPolicy("Policy variables are not supported.")
    return _Statement(
        given["Effect"] == "Allow",
        tuple(action.lower() for action in actions),
        except_actions,
        resources,
        except_resources,
        _conditions(given.get("Condition", {})),
    )


def _one_of(given: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], bool]:
    """The texts of ``name``, or of ``Not`` + ``name``, and whether it was the latter."""
    if (name in given) is (f"Not{name}" in given):
        raise MalformedPolicy(f"A statement has either {name} or Not{name}.")
    negated = name not in given
    return _texts(given[f"Not{name}" if negated else name], name), negated


def _texts(value: Any, what: str) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise MalformedPolicy(f"{what} is a text or a list of texts.")
    return tuple(texts)


def _conditions(given: Any) -> tuple[_Condition, ...]:
    if not isinstance(given, dict):
        raise MalformedPolicy("A Condition is an object.")
    found: list[_Condition] = []
    for operator, keys in given.items():
        if operator not in _OPERATORS or not isinstance(keys, dict):
            raise MalformedPolicy(f"A condition's operator is one of {', '.join(_OPERATORS)}.")
        wildcards, negated = _OPERATORS[operator]
        for key, values in keys.items():
            if key.lower() not in _VALUES:
                raise MalformedPolicy(f"A condition's key is one of {', '.join(_VALUES)}.")
            texts = _texts(values, key.lower())
            if any("${" in text for text in texts):
                raise MalformedPolicy("Policy variables are not supported.")
            found.append(_Condition(key.lower(), texts, wildcards, negated))
    return tuple(found)


def _resource(attempt: Attempt) -> str:
    if attempt.bucket is None:
        return f"{_ARN}*"
    return _ARN + attempt.bucket if attempt.key is None else f"{_ARN}{attempt.bucket}/{attempt.key}"
