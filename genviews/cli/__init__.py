"""The command line: verbs only; each calls one public function.

Exit codes: 0 done (or nothing to do), 1 failed, 2 wrong usage, 3 done but a check failed and the
result is not to be trusted. Nothing heavy is imported here:
`--help` must answer at once, so torch is imported by the verb that runs.
"""

from __future__ import annotations

from genviews.cli.app import main

__all__ = ["main"]
