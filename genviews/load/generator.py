"""What a word for a generator stands for: a kit.

fashion32                   a kit that ships with genviews
folder                      a kit that `kit.save` wrote, or a pipeline or autoencoder of diffusers
net.safetensors             what `save_generator` wrote
net.pkl, net.pt ...         somebody else's, see `genviews.generators.checkpoints`
stylegan2-ffhq ...          a published one that was downloaded, see `genviews.zoo.published`
net.safetensors, net.json   a StyleGAN2: weights, and the config beside them
owner/name                  such a folder of the Hugging Face hub, downloaded before
package.module:name         the user's function or module that turns z into images
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from genviews.checks import (
    check_count,
    check_file,
    check_type,
    expanded,
    fail,
    is_there,
    is_url,
    lookup,
    option,
)
from genviews.files import load_header, read_json
from genviews.generators.adapter import Adapter
from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator, load_callable, named_classes
from genviews.generators.card import called
from genviews.generators.checkpoints import generator_in, is_known
from genviews.generators.checkpoints.contents import Contents, open_contents
from genviews.generators.families import (
    config_from,
    is_own_file,
    read_generator_file,
    read_weights,
)
from genviews.invert.autoencoder import own_encoder
from genviews.invert.encoder import LatentEncoder
from genviews.kit import GeneratorKit, read_generator
from genviews.load.inversion_encoder import load_inversion_encoder, shipped_encoder
from genviews.load.pipeline_folder import (
    WEIGHT_FILES,
    downloaded,
    is_pipeline,
    licence_of,
    may_be_on_hub,
)
from genviews.load.pipelines import load_pipeline
from genviews.modes import evaluated
from genviews.named import find_named
from genviews.perturb.walks import Walks
from genviews.zoo import entry_folder
from genviews.zoo import names as zoo_names
from genviews.zoo.published import find_card, named_weights, published

__all__ = ["check_generator", "load_generator"]


class _Read(NamedTuple):
    """A generator, its card, and what builds the encoder that ships in the same file."""

    generator: Generator
    card: Mapping[str, Any]
    shipped: Callable[[], LatentEncoder | None] = lambda: None


Reader = Callable[[], _Read]


def load_generator(
    word: str | Path,
    *,
    z_dim: int | None = None,
    num_classes: int = 0,
    adapter: Adapter | None = None,
    class_names: Sequence[str] = (),
    encoder: str | Path | None = None,
    walks: str | Path | None = None,
    steps: int | None = None,
    domain: str | None = None,
) -> GeneratorKit:
    """Return the kit that a word stands for.

    Args:
        word: see the module; `~` is the home folder.
        z_dim: Z, the width of z, for a function; None takes that of a module's first layer.
        num_classes: of a function that takes z and a class; 0 for none.
        adapter: how a function is called and what it returns is read; None finds it out.
        class_names: of a conditional generator's classes in their order, by which those of a
            classifier are found; () takes the card's.
        encoder: file of an inversion encoder, or the name of a published one that was downloaded;
            None takes the kit's, or starts from samples.
        walks: file of learnt walks; None takes the kit's.
        steps: most optimisation steps of an inversion; None takes what suits the kit.
        domain: kind of its images, whose settings suit it: a key of `genviews.domains.DOMAINS`;
            None takes the card's, or measures what is needed.

    Raises:
        ValueError: no such form, an unknown name (the closest are listed), or a damaged file.
        FileNotFoundError: no such file.

    Example:
        >>> load_generator("fashion32").generator.latent_spec.num_layers
        8
    """
    remedy = "wrap a function that is there: GeneratorKit(CallableGenerator(function, z_dim))"
    check_type(word, (str, Path), "generator", "a word for one", remedy)
    if steps is not None:
        check_count(steps, "steps", least=0)
    name, folder, read = _find(str(word), z_dim, num_classes, adapter, class_names)
    generator, card, shipped = read()
    if class_names:
        generator.class_names = named_classes(class_names, generator.num_classes)
    kit = GeneratorKit(
        generator,
        name=name,
        card=card,
        folder=folder,
        encoder=shipped() if encoder is None else load_inversion_encoder(encoder, generator),
        walks=None if walks is None else Walks.load(expanded(walks)),
        steps=steps,
        domain=domain,
    )
    kit.notes += [f"generator: {note}" for note in generator.notes]
    return kit


def check_generator(
    word: str | Path,
    *,
    z_dim: int | None = None,
    num_classes: int = 0,
    adapter: Adapter | None = None,
) -> None:
    """Raise for a word that stands for nothing; reads no weights.

    Args:
        word: see `load_generator`.
        z_dim: see `load_generator`.
        num_classes: see `load_generator`.
        adapter: see `load_generator`.

    Raises:
        ValueError: no such form or function, an unknown name (the closest are listed), or settings
            of a function for another generator.
        FileNotFoundError: no such file.
    """
    _find(str(word), z_dim, num_classes, adapter)


def _find(
    word: str,
    z_dim: int | None,
    num_classes: int,
    adapter: Adapter | None,
    class_names: Sequence[str] = (),
) -> tuple[str, Path | None, Reader]:
    """The name of a kit, its folder if it has one, and what reads it."""
    path = entry_folder(word) if word in zoo_names() else expanded(word)
    path = _named(word) or path
    if is_url(word):
        check_file(word, f"generator {word!r}")  # which says what to do
    if is_there(path, folders=True) and path.is_dir():
        _refuse_said(word, z_dim, num_classes, adapter)
        name = path.name or path.resolve().name
        if is_there(path / "card.json"):
            return name, path, lambda: _Read(*read_generator(path))
        if is_pipeline(path):
            return name, None, partial(_pipeline, path, path, class_names)
        _refuse_folder(word, path)
    if path.suffix in (".safetensors", ".json"):
        weights, config = path.with_suffix(".safetensors"), path.with_suffix(".json")
        alone = not is_there(config) and is_there(weights)
        own = alone and is_own_file(weights)
        if alone and not own and is_known(weights):
            _refuse_said(word, z_dim, num_classes, adapter)
            return path.stem, None, partial(_checkpoint, weights)
        if alone and not own:
            _refuse_other(word, weights)
        for file in (weights,) if own else (config, weights):
            check_file(
                file,
                f"generator {word!r}",
                expected=f"the files {weights.name} and {config.name} side by side",
                remedy="put the weights beside their config, the fields of StyleGAN2Config",
            )
        _refuse_said(word, z_dim, num_classes, adapter)
        return path.stem, None, partial(_file, weights, config)
    if is_there(path):
        _refuse_said(word, z_dim, num_classes, adapter)
        return path.stem, None, partial(_checkpoint, path)
    if ":" in word:
        find_named(word, f"generator {word!r}")
        return word, None, partial(_function, word, z_dim, num_classes, adapter)
    if may_be_on_hub(word):
        _refuse_said(word, z_dim, num_classes, adapter)
        place = downloaded(word)
        return path.name, None, partial(_pipeline, word, place, class_names)
    forms = "generator (or FILE.safetensors, a kit's folder, or module:function)"
    cards = [card.name for card in published().values() if card.kind == "generator"]
    near = get_close_matches(word, cards, cutoff=0.7)  # all would be a page
    lookup(word, dict.fromkeys((*zoo_names(), *near)), forms)
    raise AssertionError("lookup raises")


def _named(word: str) -> Path | None:
    """The file of the published generator of a name, if it is one."""
    found = named_weights(word, f"generator {word!r}")
    if found is not None and find_card(word).kind == "encoder":
        fail(
            f"generator {word!r}",
            expected="a generator",
            got="an encoder of inversions",
            remedy=f"name its generator, and this one as {option('encoder')}",
        )
    return found


def _refuse_folder(word: str, folder: Path) -> NoReturn:
    """Raise for a folder that is no generator; a file of weights in it may be one."""
    files = sorted(one.name for one in folder.iterdir() if one.name.endswith(WEIGHT_FILES))
    remedy = "name the folder or the file itself"
    if files:
        remedy = f"name the file of weights, such as {folder / files[0]}"
    fail(
        f"generator {word!r}",
        expected="a kit (a folder with a card.json) or a folder of diffusers",
        got=f"neither, but {', '.join(files[:3])}" if files else "neither",
        remedy=remedy,
        error=FileNotFoundError,
    )


def _refuse_other(word: str, weights: Path) -> None:
    """Raise for a file of ours that is another thing, or a part of a kit."""
    shapes, text = load_header(weights, "generator")
    flags = {"directions": "walks"} | ({"mean_latent": "encoder"} if "network" in text else {})
    flag = next((flag for name, flag in flags.items() if name in shapes), None)
    got, remedy = text.get("network", flag), "name its generator"
    if is_there(weights.with_name("card.json")):
        got, remedy = "a part of a kit", f"name the folder of the kit, {weights.parent}"
    elif flag is not None:
        remedy += f", and this one as {option(flag)}"
    if got is not None:
        fail(f"generator {word!r}", expected="a generator", got=got, remedy=remedy)


def _refuse_said(word: str, z_dim: int | None, num_classes: int, adapter: Adapter | None) -> None:
    """Raise where something is said of a function, and the generator is none."""
    given = {
        "z_dim": z_dim,
        "num_classes": num_classes,
        **({} if adapter is None else adapter.stated()),
    }
    if asked := [name for name, value in given.items() if value]:
        fail(
            " and ".join(map(option, asked)),
            expected=f"none: generator {word!r} is no function",
            got=", ".join(str(given[name]) for name in asked),
            remedy="leave out what is said of a function",
        )


def _checkpoint(path: Path) -> _Read:
    """The generator of somebody else's file."""
    contents = open_contents(path)
    opened = generator_in(contents)
    about = {"text": f"{path.name}: {opened.source}"}
    licence = {"licence": {"weights": opened.licence}} if opened.licence else {}
    shipped = partial(_shipped, contents, opened.generator)
    return _Read(opened.generator, {"about": about, **licence}, shipped)


def _shipped(contents: Contents, generator: Generator) -> LatentEncoder | None:
    """The encoder in the generator's file; None, and a note, where it cannot be read."""
    try:
        return shipped_encoder(contents, generator)
    except ValueError as error:  # the generator is whole without it
        generator.notes = (*generator.notes, f"its encoder was left out: {error}")
        return None


def _pipeline(word: str | Path, folder: Path, class_names: Sequence[str]) -> _Read:
    """The generator of a folder of diffusers, and the encoder of an autoencoder."""
    made = load_pipeline(word, class_names=class_names)
    about = {"text": f"{Path(word).name}: a folder of diffusers"}
    licence = licence_of(folder)
    card = {"about": about, **({"licence": {"weights": licence}} if licence else {})}
    return _Read(made, card, partial(own_encoder, made))


def _file(weights: Path, config: Path) -> _Read:
    """The generator of a file that `save_generator` wrote, or of a StyleGAN2 beside its config."""
    if not is_there(config):
        made, text = read_generator_file(weights)
        about = {"about": {"text": text["source"]}} if "source" in text else {}
        licence = {"licence": {"weights": text["licence"]}} if "licence" in text else {}
        return _Read(made, {**about, **licence})
    values = config_from("stylegan2", read_json(config), f"config {config.name}")
    return _Read(read_weights("stylegan2", values, weights), {})


def _function(word: str, z_dim: int | None, num_classes: int, adapter: Adapter | None) -> _Read:
    made = evaluated(load_callable(word, z_dim, num_classes=num_classes, adapter=adapter))
    known = {"family": "callable", "function": word}
    if isinstance(made, CallableGenerator):
        known |= called(made)
    return _Read(made, {"generator": known}, partial(own_encoder, made))
