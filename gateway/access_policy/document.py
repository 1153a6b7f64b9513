"""A policy document: parsed, checked as AWS checks it, and brought to the normal form that SQL evaluates.

The normal form is ``{"text", "public", "binds_owner", "statements"}``, a statement is ``{"effect", "principal",
"actions", "except_actions", "bucket", "all_keys", "keys", "except_resources", "conditions"}``. ``principal`` is one of
``{"everyone": true}``, ``{"subjects": […]}`` and ``{"except": […]}``; ``actions`` and ``keys`` are patterns of LIKE;
``bucket`` says whether a statement is about the bucket itself, ``all_keys`` whether its resources are all keys.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.access_policy import patterns
from gateway.access_policy.actions import names_an_action
from gateway.access_policy.conditions import Condition, parse_conditions
from gateway.access_policy.errors import malformed

MAX_POLICY_BYTES: Final = 20 * 1024
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_POLICY_FIELDS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_FIELDS: Final = frozenset(
    {
        "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
    }
)  # fmt: skip
_ARN: Final = "arn:aws:s3:::"
_CANONICAL_ID: Final = re.compile(r"[0-9a-f]{64}")
_ACCOUNT: Final = re.compile(r"[\w.@+=,:/-]{1,256}")
_ACCOUNT_ARN: Final = re.compile(r"arn:aws:iam::([^:]+):root")
_USER_ARN: Final = re.compile(r"arn:aws:iam::[^:]*:user/(?:[^:]*/)?([^:/]+)")
_OTHER_PRINCIPALS: Final = frozenset({"Service", "Federated"})


@dataclass(frozen=True, slots=True)
class _Principal:
    """``subjects`` and ``canonical_ids`` together are who is meant; ``everyone`` is ``*``."""

    everyone: bool
    subjects: frozenset[str]
    canonical_ids: frozenset[str]
    negated: bool


@dataclass(frozen=True, slots=True)
class _Statement:
    effect: str
    principal: _Principal
    actions: tuple[str, ...]
    except_actions: bool
    about_bucket: bool
    all_keys: bool
    keys: tuple[Any, ...]
    except_resources: bool
    conditions: tuple[Condition, ...]

    @property
    def is_public(self) -> bool:
        """Does it grant something to callers nobody knows?"""
        return (
            self.effect == "Allow"
            and self.principal.everyone
            and not any(condition.restricts for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of one bucket that passed every check but one: whether the accounts it names by canonical id exist."""

    text: str
    statements: tuple[_Statement, ...]

    @property
    def is_public(self) -> bool:
        """What GetBucketPolicyStatus says of it."""
        return any(statement.is_public for statement in self.statements)

    @property
    def canonical_ids(self) -> frozenset[str]:
        """The canonical ids among its principals."""
        return frozenset().union(*(statement.principal.canonical_ids for statement in self.statements))

    def document(self, subjects: Mapping[str, str], *, binds_owner: bool = False) -> dict[str, Any]:
        """The normal form, given the subjects behind :attr:`canonical_ids`. ``binds_owner``: denials of the policy
        operations hold for the bucket's owner too. Raises MalformedPolicy for an id without a subject."""
        return {
            "text": self.text,
            "public": self.is_public,
            "binds_owner": binds_owner,
            "statements": [_stored(statement, subjects) for statement in self.statements],
        }


def parse(text: str, bucket: str) -> Policy:
    """Check a policy for a bucket. Raises MalformedPolicy with AWS's message."""
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise malformed(f"Policies must not be larger than {MAX_POLICY_BYTES} bytes.")
    document = _json(text)
    if unknown := set(document) - _POLICY_FIELDS:
        raise malformed(f"Unknown field {min(unknown)[:100]}")
    version = document.get("Version", _VERSIONS[1])
    if version not in _VERSIONS:
        raise malformed("The policy must contain a valid version string")
    if not isinstance(document.get("Id", ""), str):
        raise malformed("Invalid policy syntax.")
    found = document.get("Statement")
    if found is None:
        raise malformed("Missing required field Statement")
    statements = found if isinstance(found, list) else [found]
    if not statements:
        raise malformed("Could not parse the policy: Statement is empty!")
    return Policy(text, tuple(_statement(each, bucket, version == _VERSIONS[0]) for each in statements))


def _json(text: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise malformed("Invalid policy syntax.")
        return found

    try:
        document = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not _is_storable(document):
        raise malformed("Policies must be valid JSON and the first byte must be '{'")
    return document


def _is_storable(document: Any) -> bool:
    """Postgres's text holds neither NUL nor half a surrogate pair."""
    try:
        return b"\\u0000" not in json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False


def _statement(given: Any, bucket: str, variables: bool) -> _Statement:
    if not isinstance(given, dict):
        raise malformed("Invalid policy syntax.")
    if unknown := set(given) - _STATEMENT_FIELDS:
        raise malformed(f"Unknown field {min(unknown)[:100]}")
    if not isinstance(given.get("Sid", ""), str):
        raise malformed("Invalid policy syntax.")
    effect = given.get("Effect")
    if effect is None:
        raise malformed("Missing required field Effect")
    if effect not in ("Allow", "Deny"):
        raise malformed(f"Invalid effect: {str(effect)[:100]}")
    principals, negated = _one_of(given, "Principal")
    if negated and effect == "Allow":
        raise malformed("Allow with NotPrincipal is not allowed.")
    actions, except_actions = _one_of(given, "Action")
    resources, except_resources = _one_of(given, "Resource")
    about_bucket, keys = _resources(_texts(resources, "resource"), bucket, variables)
    all_keys = any(patterns.matches_everything(key) for key in keys)
    return _Statement(
        effect=effect,
        principal=_principal(principals, negated),
        actions=_actions(_texts(actions, "action")),
        except_actions=except_actions,
        about_bucket=about_bucket is not except_resources,
        all_keys=all_keys,
        keys=() if all_keys else tuple(patterns.stored(key) for key in keys),
        except_resources=except_resources,
        conditions=tuple(parse_conditions(given.get("Condition", {}), variables=variables)),
    )


def _one_of(given: Mapping[str, Any], name: str) -> tuple[Any, bool]:
    """The value of ``name`` or of ``Not`` + ``name``, and whether it was the latter."""
    negation = f"Not{name}"
    if name in given and negation in given:
        raise malformed("Invalid policy syntax.")
    if negation in given:
        return given[negation], True
    if name not in given:
        raise malformed(f"Missing required field {name}")
    return given[name], False


def _texts(value: Any, what: str) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise malformed(f"Policy has invalid {what}")
    return texts


def _actions(texts: list[str]) -> tuple[str, ...]:
    if not all(names_an_action(text) for text in texts):
        raise malformed("Policy has invalid action")
    lowered = [patterns.pattern(text.lower(), variables=False) for text in texts]
    return tuple(patterns.stored(tokens) for tokens in lowered)


def _resources(texts: list[str], bucket: str, variables: bool) -> tuple[bool, list[patterns.Pattern]]:
    """Is the bucket itself among the resources, and which keys are? Each resource must be of this bucket."""
    about_bucket = False
    keys: list[patterns.Pattern] = []
    for text in texts:
        if text == "*":
            text = f"{_ARN}*"
        if not text.startswith(_ARN):
            raise malformed("Policy has invalid resource")
        tokens = patterns.pattern(text.removeprefix(_ARN), variables=variables)
        whole = patterns.matches(tokens, bucket)
        within = patterns.residues(tokens, f"{bucket}/")
        if not whole and not within:
            raise malformed("Policy has invalid resource")
        about_bucket = about_bucket or whole
        keys += within
    return about_bucket, keys


def _principal(given: Any, negated: bool) -> _Principal:
    if given == "*":
        given = {"AWS": "*"}
    if not isinstance(given, dict) or not given:
        raise malformed("Invalid principal in policy")
    everyone = False
    subjects: set[str] = set()
    canonical_ids: set[str] = set()
    for kind, value in given.items():
        names = value if isinstance(value, list) else [value]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise malformed("Invalid principal in policy")
        if kind == "CanonicalUser":
            if not all(_CANONICAL_ID.fullmatch(name) for name in names):
                raise malformed("Invalid principal in policy")
            canonical_ids.update(names)
        elif kind == "AWS":
            for name in names:
                if name == "*":
                    everyone = True
                elif _CANONICAL_ID.fullmatch(name):
                    canonical_ids.add(name)
                else:
                    subjects.add(_account(name))
        elif kind not in _OTHER_PRINCIPALS:
            # Services and federated identities are understood, but nobody here is one.
            raise malformed("Invalid principal in policy")
    if everyone and negated:
        raise malformed("Invalid principal in policy")
    return _Principal(everyone, frozenset(subjects), frozenset(canonical_ids), negated)


def _account(name: str) -> str:
    """The subject that an account's id, its ARN or a user's ARN means."""
    if name.startswith("arn:"):
        found = _ACCOUNT_ARN.fullmatch(name) or _USER_ARN.fullmatch(name)
        if found is None:
            raise malformed("Invalid principal in policy")
        name = found.group(1)
    if _ACCOUNT.fullmatch(name) is None:
        raise malformed("Invalid principal in policy")
    return name


def _stored(statement: _Statement, subjects: Mapping[str, str]) -> dict[str, Any]:
    principal = statement.principal
    if not principal.canonical_ids <= subjects.keys():
        raise malformed("Invalid principal in policy")
    named = sorted(principal.subjects | {subjects[each] for each in principal.canonical_ids})
    others = {"except" if principal.negated else "subjects": named}
    return {
        "effect": statement.effect,
        "principal": {"everyone": True} if principal.everyone else others,
        "actions": list(statement.actions),
        "except_actions": statement.except_actions,
        "bucket": statement.about_bucket,
        "all_keys": statement.all_keys,
        "keys": list(statement.keys),
        "except_resources": statement.except_resources,
        "conditions": [condition.document for condition in statement.conditions],
    }
