"""Prompts through the text encoders of a pipeline: a fixed list, encoded once.

One encoder gives the tokens of its last layer. Two, as of SDXL, give those of the last layer but
one side by side, and the second a vector of the whole prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genviews.checks import fail, option
from genviews.described import at_most, described_by
from genviews.files import load_header
from genviews.generators.callable import named_classes
from genviews.generators.diffusion import Prompts
from genviews.load.pipeline_folder import FETCH, PipelineFolder, weight_files
from genviews.named import find_package

__all__ = ["encode_prompts"]

_TEXT_ENCODERS = ("CLIPTextModel", "CLIPTextModelWithProjection")
_PROMPTS_AT_ONCE = 16


def encode_prompts(
    folder: PipelineFolder, class_names: Sequence[str] | Mapping[str, str]
) -> tuple[Prompts, tuple[str, ...]]:
    """Return what the text encoders make of the prompts and of none, and what is to be said of it.

    Args:
        folder: of the pipeline.
        class_names: the prompts, or name -> prompt; () for the empty one.

    Raises:
        FileNotFoundError: weights of a text encoder are missing.
        ModuleNotFoundError: transformers is not installed.
        ValueError: an encoder of another kind, or a prompt that is too long.
    """
    given = class_names.values() if isinstance(class_names, Mapping) else class_names
    texts = list(given) or [""]
    names = named_classes(tuple(class_names), len(class_names))
    notes: tuple[str, ...] = ()
    if not names:
        notes = (f"images are of no prompt: name prompts with {option('class_names')}",)
    wide = folder.has("text_encoder_2")
    hidden, pooled = [], None
    for end in ("", "_2") if wide else ("",):
        encoder = _TextEncoder.read(folder, end)
        if encoder is not None:
            one, last = encoder.encode([*texts, ""], early=wide)
            hidden.append(one)
            pooled = last if wide else None
    if not hidden:
        got, remedy = "one without the other", FETCH
        fail(folder.what, expected="a text encoder and its tokenizer", got=got, remedy=remedy)
    together = torch.cat(hidden, -1)
    if wide and folder.index.get("force_zeros_for_empty_prompt", True) and pooled is not None:
        together[-1], pooled[-1] = 0, 0
    return Prompts(names=names, hidden=together, pooled=pooled), notes


@dataclass(frozen=True)
class _TextEncoder:
    """A text encoder of transformers and its tokenizer."""

    tokenizer: Any
    network: Any
    what: str

    @classmethod
    def read(cls, folder: PipelineFolder, end: str) -> _TextEncoder | None:
        """That of a folder; None where the index names none."""
        part, words = f"text_encoder{end}", f"tokenizer{end}"
        kind = folder.kind(part, "transformers", _TEXT_ENCODERS)
        tokenizer = folder.kind(words, "transformers", ("CLIPTokenizer", "CLIPTokenizerFast"))
        if kind is None or tokenizer is None:
            return None
        place, what = folder.place(part), f"{part} of {folder.what}"
        shapes: dict[str, Tensor] = {}
        for file in weight_files(place, "model", folder.what):
            shapes |= load_header(file, what)[0]
        package = find_package("transformers", "hub", what)
        half = {"variant": "fp16"} if ".fp16" in file.name else {}
        given: dict[str, Any] = {"local_files_only": True}
        with described_by(what, "what `save_pretrained` writes", FETCH), _damage_told():
            config = package.CLIPTextConfig.from_pretrained(str(place), **given)
            with torch.device("meta"), at_most(shapes):
                getattr(package, kind)(config)  # a far larger one is refused
            made_by, more = getattr(package, kind), {"use_safetensors": True, **half}
            with _without_bars(package):
                network, found = made_by.from_pretrained(
                    str(place), output_loading_info=True, **more, **given
                )
            if missing := sorted(found["missing_keys"]):
                raise ValueError(f"weights lack {', '.join(missing[:4])}")
            tokenizer = package.CLIPTokenizer.from_pretrained(str(folder.place(words)), **given)
        return cls(tokenizer, network.float().eval(), what)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], *, early: bool) -> tuple[Tensor, Tensor]:
        """Tokens (P, T, D) and vectors (P, E); `early` takes the tokens of the last layer but one.

        Raises:
            ValueError: a prompt of more tokens than it takes.
        """
        most = int(self.network.config.max_position_embeddings)
        for text, ids in zip(texts, self.tokenizer(list(texts))["input_ids"], strict=True):
            if len(ids) > most:
                expected, got = f"at most {most} tokens", f"{len(ids)} of {text[:40]!r}"
                fail(f"prompt for {self.what}", expected=expected, got=got, remedy="shorten it")
        tokens, vectors = [], []
        with described_by(self.what, "a network that takes what its tokenizer gives", FETCH):
            for begin in range(0, len(texts), _PROMPTS_AT_ONCE):
                ids = self.tokenizer(
                    list(texts[begin : begin + _PROMPTS_AT_ONCE]),
                    padding="max_length",
                    max_length=most,
                    return_tensors="pt",
                )["input_ids"]
                out = self.network(ids, output_hidden_states=True)
                tokens.append(out.hidden_states[-2] if early else out.last_hidden_state)
                vectors.append(out[0])
        return torch.cat(tokens), torch.cat(vectors)


@contextmanager
def _damage_told() -> Iterator[None]:
    """Of a damaged file transformers raises OSError, as if there were none."""
    try:
        yield
    except OSError as error:
        raise ValueError(str(error)) from error


@contextmanager
def _without_bars(package: Any) -> Iterator[None]:  # noqa: ANN401 (transformers)
    """Keep transformers from drawing a bar for each network that it reads."""
    drawn = package.utils.logging.is_progress_bar_enabled()
    package.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            package.utils.logging.enable_progress_bar()
