"""What a long command says of itself while it works."""

import sys
import time
from collections.abc import Callable
from typing import Final, TypeVar

REPORT_SECONDS: Final = 1.0

Progress = TypeVar("Progress")


def every_second(describe: Callable[[Progress], str]) -> Callable[[Progress], None]:
    """Called as often as something happens, it prints to standard error once a second at most."""
    shown = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal shown
        if time.monotonic() - shown >= REPORT_SECONDS:
            shown = time.monotonic()
            print(describe(progress), file=sys.stderr)

    return report
