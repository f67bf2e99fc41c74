"""The command line: verbs only; each runs one study on what its flags name.

Exit codes: 0 done (or nothing to do), 1 failed, 2 wrong usage, 3 done but a check failed and the
result is not to be trusted, 128 and the number of a signal that stopped it. Nothing heavy is
imported here: `--help` must answer at once, so torch is imported by the verb that runs.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from genviews.cli.stop import Stopping, say_stopped

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the entry point of the console script.

    Args:
        arguments: words after the program's name; None takes those of the process, which then ends.

    Returns:
        0 done, 1 failed, 2 wrong usage, 3 done but a check failed (`NO_VERDICT`), 130 stopped by
        ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
    """
    with Stopping() as stopping:
        try:
            from genviews.cli.app import run  # here, where a signal is listened to

            code = run(sys.argv[1:] if arguments is None else arguments)
        except BaseException as error:
            # Code that a signal cuts short may also fail in another way, such as half an import.
            if not stopping.number and not isinstance(error, KeyboardInterrupt):
                raise
            say_stopped()
            code = 128 + (stopping.number or signal.SIGINT)
        if arguments is None:
            stopping.end(code)
    return code
