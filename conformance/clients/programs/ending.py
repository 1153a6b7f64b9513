"""How a client's program ends once its assertions have held."""

import os
import sys
from typing import NoReturn


def end() -> NoReturn:
    """Say so and leave at once, without tearing the interpreter down.

    Threads that Arrow, DuckDB and delta-rs still run would call back into an interpreter that is going away, which now
    and then aborts the process after all the work was done (apache/arrow#34314, delta-io/delta-rs#2184).
    """
    print("all right")
    sys.stdout.flush()
    os._exit(0)
