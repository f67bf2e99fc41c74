"""`python -m genviews.cli`."""

from __future__ import annotations

import sys

from genviews.cli import main

sys.exit(main())
