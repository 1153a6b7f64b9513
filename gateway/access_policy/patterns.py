"""Patterns of policies: ``*`` and ``?``, and ``${variable}`` since version 2012-10-17.

A pattern is a tuple of tokens: a character as it is, :data:`ANY` (``*``), :data:`ONE` (``?``) or a :class:`Variable`.
It is stored as text for SQL's LIKE, or, where it has variables, as pieces of such text and variables.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from gateway.access_policy.errors import malformed


class Wildcard(Enum):
    """What stands for other characters."""

    ANY = "%"
    ONE = "_"


ANY: Final = Wildcard.ANY
ONE: Final = Wildcard.ONE


@dataclass(frozen=True, slots=True)
class Variable:
    """The value of a condition key of the request, or ``default`` where it has none."""

    key: str
    default: str | None = None


Token = str | Wildcard | Variable
Pattern = tuple[Token, ...]

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_NAMED: Final = re.compile(r"\s*([A-Za-z0-9]+:[A-Za-z0-9:/_.=@+-]+)\s*(?:,\s*'([^']*)'\s*)?")
_LITERAL: Final = frozenset("*?$")
_WILDCARDS: Final = {"*": ANY, "?": ONE}


def condition_key(name: str) -> str:
    """A condition key as it is compared: its case does not count, but that of a tag's name in it does."""
    family, slash, tag = name.partition("/")
    return family.lower() + slash + tag


def pattern(text: str, *, wildcards: bool = True, variables: bool = True) -> Pattern:
    """Tokens of ``text``. Raises MalformedPolicy for a variable that is none."""
    tokens: list[Token] = []
    last = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        tokens += _characters(text[last : found.start()], wildcards)
        tokens.append(_variable(found.group(1)))
        last = found.end()
    tokens += _characters(text[last:], wildcards)
    return tuple(tokens)


def _variable(inside: str) -> Token:
    if inside in _LITERAL:
        return inside
    named = _NAMED.fullmatch(inside)
    if named is None:
        raise malformed("Invalid policy variable")
    return Variable(condition_key(named.group(1)), named.group(2))


def _characters(text: str, wildcards: bool) -> list[Token]:
    return [_WILDCARDS.get(character, character) for character in text] if wildcards else list(text)


def stored(tokens: Sequence[Token]) -> Any:
    """The JSON form: LIKE text, or a list of such texts and ``{"key", "default"}``."""
    pieces: list[Any] = [""]
    for each in tokens:
        if isinstance(each, Variable):
            pieces += [{"key": each.key, "default": each.default}, ""]
        elif isinstance(each, Wildcard):
            pieces[-1] += each.value
        else:
            pieces[-1] += f"\\{each}" if each in "\\%_" else each
    return pieces[0] if len(pieces) == 1 else [piece for piece in pieces if piece != ""]


def residues(tokens: Pattern, head: str) -> list[Pattern]:
    """What is left of a pattern after it matched ``head`` in any way it can: the patterns of what may follow."""
    states = _closure(tokens, {0})
    for character in head:
        states = _closure(
            tokens,
            {
                position if tokens[position] is ANY else position + 1
                for position in states
                if position < len(tokens) and (tokens[position] in (ANY, ONE, character))
            },
        )
    # A state after a star is covered by the one at the star.
    return [tokens[position:] for position in sorted(states) if not (position and tokens[position - 1] is ANY)]


def _closure(tokens: Pattern, states: set[int]) -> set[int]:
    closed = set(states)
    for position in states:
        while position < len(tokens) and tokens[position] is ANY:
            position += 1
            closed.add(position)
    return closed


def matches(tokens: Pattern, text: str) -> bool:
    """Does a pattern match a whole text? A variable matches nothing."""
    return any(all(token is ANY for token in rest) for rest in residues(tokens, text))


def matches_everything(tokens: Pattern) -> bool:
    """True for ``*``."""
    return bool(tokens) and all(token is ANY for token in tokens)
