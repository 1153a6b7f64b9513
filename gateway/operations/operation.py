"""What an operation is: S3's name, what policies call it, its typed input and output, and the function that does it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

# A handler takes (services, call, input) and returns its output record; see ``table.py`` for the list.
Handler = Callable[[Any, Any, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that has a handler.

    ``name`` is S3's; ``policy_name`` is what ``storage.operation()`` returns inside a policy while it runs;
    ``input`` and ``output`` are frozen dataclasses of ``shapes.py`` whose fields are the snake_case names of the
    members in S3's model.
    """

    name: str
    policy_name: str
    input: type
    output: type
    handler: Handler
