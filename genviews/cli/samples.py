"""`genviews generator sample` and `views`: what a generator makes, to look at and to learn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genviews.checks import check_count, expanded, fail
from genviews.cli.check import class_names_of, function_settings
from genviews.cli.console import Terminal, say
from genviews.cli.flags import FunctionFlags, RunFlags, StudyFlags
from genviews.cli.learning_flags import KitFlags
from genviews.cli.run import run_verb
from genviews.studies.view_options import ViewSetOptions

__all__ = ["sample", "views"]

_FUNCTION, _KIT, _RUN = FunctionFlags(), KitFlags(), RunFlags()
_OPTIONS = ViewSetOptions()


def sample(
    word: str,
    /,
    *,
    out: Path,
    count: int = 16,
    seed: int = 0,
    psi: float = 1.0,
    classes: tuple[str, ...] = (),
    device: str = "auto",
    batch_size: int = 64,
    function: FunctionFlags = _FUNCTION,
    force: Annotated[bool, Parameter(show_default=False)] = False,
) -> int:
    """Write a sheet of samples as one PNG, each with its number, and its class if it has one.

    Args:
        word: As for --generator: a file, a kit, a folder of diffusers, the name of downloaded
            weights, or package.module:function.
        function: What is said of a function.
        out: The sheet, NAME.png.
        count: Pictures. Those of a conditional generator go round its classes.
        seed: Of all; another seed, other pictures.
        psi: Truncation: towards the mean latent, or, of a generator without a mapping, the
            deviation of a normal that is cut at two deviations.
        classes: Class of a conditional generator, its name or number. Repeat the flag. Without it:
            all.
        device: cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.
        batch_size: Images in flight; lower it when memory runs out.
        force: Replace a sheet that is there.
    """
    path = expanded(out)
    check_count(batch_size, "--batch-size")
    if path.suffix.lower() != ".png":
        fail("--out", expected="NAME.png", got=path.name, remedy="name a file that ends so")
    if path.exists() and not force:
        remedy = "choose another name, or replace it with --force"
        fail("--out", expected="a new file", got=f"{path.name}, which is there", remedy=remedy)
    from genviews.environment import find_device  # loads torch, as the next ones do
    from genviews.files import atomic_write_bytes
    from genviews.load.generator import load_generator
    from genviews.report.samples import sample_sheet

    place, names = find_device(device), class_names_of(function)
    kit = load_generator(word, **function_settings(function), class_names=names)
    kit.generator.to(place)
    sheet = sample_sheet(
        kit, count=count, seed=seed, psi=psi, classes=classes, batch_size=batch_size
    )
    atomic_write_bytes(path, sheet)
    say(Terminal(), f"wrote {path}")
    return 0


def views(
    word: str | None = None,
    /,
    *,
    kit: KitFlags = _KIT,
    options: Annotated[ViewSetOptions, StudyFlags] = _OPTIONS,
    run: RunFlags = _RUN,
) -> int:
    """Write anchors and views of them as files for any trainer, with the recipe beside them.

    Folders of PNG files (images/CLASS/0000012_anchor.png, 0000012_view1.png) or tar files as
    WebDataset reads them; latents/ has z of the anchors, recipe.json says how all was made. A
    killed run started again continues where it was.

    Args:
        word: The generator, as for --generator.
        kit: What is said of it.
        options: Which samples and views, and how they are laid out.
        run: How and where to run.
    """
    from genviews.studies.views import STUDY

    if word is not None and kit.generator is not None:
        got, remedy = "both", "leave one out"
        fail("--generator", expected="one generator", got=got, remedy=remedy)
    kit = kit if word is None else replace(kit, generator=word)
    if kit.generator is None:
        remedy = "name it: genviews generator views fashion32"
        fail("generator (--generator)", expected="one", got="none", remedy=remedy)
    return run_verb(
        "generator views",
        STUDY,
        options,
        [kit, options],
        run,
        title=f"Views of {Path(kit.generator).name}",
        seed=options.seed,
    )
