"""`genviews generator get`: weights that others publish, downloaded because somebody asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genviews.checks import check_number
from genviews.cli.console import Terminal, say
from genviews.cli.progress import Stages

if TYPE_CHECKING:
    from genviews.zoo.published import Weights

__all__ = ["get"]

MEGABYTE = 1_000_000


def get(
    name: str | None = None,
    /,
    *,
    folder: Path | None = None,
    file: Path | None = None,
    timeout: float = 30.0,
    list_: Annotated[bool, Parameter(name="--list", show_default=False)] = False,
) -> int:
    """Download published weights, check them, and print where they are.

    A download that was cut goes on. The name can then be given to --generator, or of an encoder to
    --encoder; with --folder, the path. Without a name: the list of all.

    Args:
        name: Of the weights, such as stylegan2-ffhq.
        folder: Where weights are kept. Without it: GENVIEWS_WEIGHTS, or the folder of the platform
            for caches.
        file: A copy that you have: it is checked and kept, and nothing is downloaded.
        timeout: Seconds without a byte after which a connection counts as cut.
        list_: Show all names.
    """
    from genviews.zoo.published import find_card, get_weights, published

    check_number(timeout, "--timeout", above=0)
    console = Terminal()
    if list_ or name is None:
        for card in published().values():
            hashed = "" if card.sha256 else ", unverified"
            say(console, f"{card.name:<27} {card.about} ({card.family} {card.kind}{hashed})")
        return 0
    card, errors = find_card(name), Terminal(stderr=True)
    with Stages(errors) as stages:

        def progress(done: int, total: int | None) -> None:
            here, every = done // MEGABYTE, (total or done) // MEGABYTE
            if total is None or (done < total and here == every):
                every = here + 1  # not all of it yet, as far as anybody knows
            stages(f"download {card.name}", "MB", here, every)

        found = get_weights(card, folder=folder, file=file, progress=progress, timeout=timeout)
    _tell(found, errors)
    say(console, str(found.path))
    return 0


def _tell(found: Weights, errors: Terminal) -> None:
    """What is known of the file; of its licence once, when it is new."""
    say(errors, f"{found.card.name}: SHA-256 {found.sha256}, {found.verified}")
    if found.new and found.card.notice:
        say(errors, found.card.notice)
