"""Weights that others publish: where they are, what they must be, whose, and under which licence.

    NAME -> card -> is the file here? -> download, if it is asked for -> SHA-256 -> path

The cards are `published.json`, by collections that share a source. Few authors state a SHA-256.
Where somebody else does, the card says who; where nobody does, the file is unverified, and what
came first is written down beside it, so that a second download must give the same. Only
`get_weights` ever downloads.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from genviews.checks import check_file, expanded, fail, is_there, lookup, option
from genviews.files import atomic_write_bytes, read_json, sha256_of, write_json
from genviews.named import find_package
from genviews.zoo.download import check_sha256, download

__all__ = [
    "Weights",
    "WeightsCard",
    "find_card",
    "get_weights",
    "kept_weights",
    "named_weights",
    "published",
    "weights_folder",
]

FOLDER = "GENVIEWS_WEIGHTS"
"""Environment variable with the folder of weights."""
_CARDS = Path(__file__).with_name("published.json")
# Of a repository of the hub: what `genviews.load.pipelines` reads, in full precision.
_WANTED = ["*.json", "*.txt", "*diffusion_pytorch_model*.safetensors", "*/model*.safetensors"]
_WANTED += ["README.md"]
_LEFT = ["*.fp16.*", "*non_ema*", "safety_checker/*"]
_UNVERIFIED = "unverified: nobody states a SHA-256; recorded at the first download"


@dataclass(frozen=True, kw_only=True)
class WeightsCard:
    """What is known of a published file of weights.

    Args:
        name: by which it is asked for.
        file: its name where it is published.
        url: of the file.
        page: for people, where the file itself is not what the authors link to; "" for none.
        about: what it makes.
        family: of the generator, a key of `genviews.generators.families.FAMILIES`; "diffusers" of
            a folder of that library.
        kind: "generator", or "encoder" for one that inverts.
        licence: in words.
        commercial: whether commerce may use it: "yes", "no", or "unclear".
        source: where the URL stands.
        citation: of the paper.
        size: in bytes; None where nobody states it.
        sha256: None where nobody states it.
        stated_by: who states size and SHA-256.
        hub: owner/name of the Hugging Face hub, of which a folder of several files is needed, such
            as a pipeline; `url` is its page then. "" for one file.
    """

    name: str
    file: str
    url: str
    about: str
    family: str
    licence: str
    commercial: Literal["yes", "no", "unclear"]
    source: str
    citation: str
    page: str = ""
    kind: Literal["generator", "encoder"] = "generator"
    size: int | None = None
    sha256: str | None = None
    stated_by: str = ""
    hub: str = ""

    @property
    def kept_as(self) -> str:
        """The name of the file on this machine: the card's, with the ending of the published."""
        return self.name if self.hub else f"{self.name}.{self.file.partition('.')[2]}"

    @property
    def notice(self) -> str:
        """One line of what its licence forbids or leaves open; "" where it allows everything."""
        told = {"no": "not for commercial use", "unclear": "whether commerce may use it is unclear"}
        if self.commercial == "yes":
            return ""
        return f"{self.name}: {told[self.commercial]} ({self.licence})"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A published file on this machine.

    Args:
        path: of the file or folder.
        card: of it.
        sha256: of the file; of a folder, of the list of its files with theirs.
        verified: by whose word the file is the published one, or that nobody's is known.
        new: whether it was not known here before: the time to tell a user of its licence.
    """

    path: Path
    card: WeightsCard
    sha256: str
    verified: str
    new: bool


def published() -> dict[str, WeightsCard]:
    """Return the cards by their names."""
    return dict(_cards())


def find_card(name: str) -> WeightsCard:
    """Return a card.

    Raises:
        ValueError: unknown name; the closest are listed.

    Example:
        >>> find_card("stylegan2-ada-cifar10").family
        'stylegan2'
    """
    return lookup(name, _cards(), "published weights")


def weights_folder(folder: str | Path | None = None) -> Path:
    """Return the folder of weights: the given one, that of GENVIEWS_WEIGHTS, or the platform's.

    The platform's is `genviews/weights` in XDG_CACHE_HOME or ~/.cache; in ~/Library/Caches on macOS
    and in LOCALAPPDATA on Windows.
    """
    if folder is not None or (folder := os.environ.get(FOLDER)):
        return expanded(folder)
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(cache_home):  # others are to be ignored, says the custom
        return Path(cache_home, "genviews", "weights")
    home = "~/.cache"
    if sys.platform == "darwin":
        home = "~/Library/Caches"
    elif sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    return expanded(home) / "genviews" / "weights"


def kept_weights(name: str, folder: str | Path | None = None) -> Path | None:
    """Return the file of a card if it is on this machine; downloads and hashes nothing.

    Raises:
        ValueError: unknown name; the closest are listed.
    """
    card = find_card(name)
    path = weights_folder(folder) / card.kept_as
    whole = is_there(_record_of(path) if card.hub else path)  # a folder is recorded at its end
    return path if whole and is_there(path, folders=True) else None


def named_weights(word: str | Path, what: str) -> Path | None:
    """Return the file of the published weights that a word names; None where it names none.

    A file or folder of that very name comes first.

    Args:
        word: a path, or the name of a card.
        what: it stands for, in messages.

    Raises:
        FileNotFoundError: a name of weights that are not on this machine: nothing is downloaded.
    """
    name = str(word)
    if name not in _cards() or is_there(expanded(word), folders=True):
        return None
    found = kept_weights(name)
    if found is None:
        fail(
            what,
            expected="weights that are on this machine",
            got=f"none of the name {name!r} in {weights_folder()}",
            remedy=f"run `genviews generator get {name}`",
            error=FileNotFoundError,
        )
    return found


def get_weights(
    name: str | WeightsCard,
    *,
    folder: str | Path | None = None,
    file: str | Path | None = None,
    progress: Callable[[int, int | None], object] = lambda done, total: None,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
) -> Weights:
    """Return a published file, downloaded unless it is here; its SHA-256 is compared in any case.

    Beside the file, `FILE.json` records what it is: URL, size, SHA-256 and who states it, licence,
    source, citation, date.

    Args:
        name: of a card, or a card.
        folder: see `weights_folder`.
        file: a copy that is on this machine, such as one that a browser downloaded: it is checked
            and copied, and nothing is downloaded.
        progress: called with the bytes that are here, and those in all or None.
        timeout: see `download`.
        attempts: see `download`.
        pause: see `download`.

    A folder of the Hugging Face hub is brought by the hub's own client, which shows its progress.

    Raises:
        ValueError: unknown name; the closest are listed. A `file` for a folder.
        FileNotFoundError: no such `file`.
        ModuleNotFoundError: the client of the hub is not installed.
        OSError: it cannot be had, or is another file than was stated or recorded.

    Example:
        >>> get_weights("stylegan3-t-ffhqu-256x256").path  # doctest: +SKIP
    """
    card = name if isinstance(name, WeightsCard) else find_card(name)
    path = weights_folder(folder) / card.kept_as
    record = _record_of(path)
    known = read_json(record) if is_there(record) else {}
    expected, stated_by = card.sha256, card.stated_by
    if expected is None and known.get("url") == card.url:
        expected, stated_by = known.get("sha256"), f"{record.name}, at the first download"
    if card.hub:
        digest = _folder_of_hub(card, path, file, known=bool(known))
        check_sha256(digest, expected, f"weights {path}", stated_by)
    elif file is not None:
        digest = _copied(expanded(file), path, card, expected, stated_by)
    elif is_there(path):
        digest = sha256_of(path)
        check_sha256(digest, expected, f"weights {path}", stated_by)
    else:
        digest = download(
            card.url,
            path,
            size=card.size,
            sha256=expected,
            stated_by=stated_by,
            remedy=f"get it from {card.page or card.url} by other means, and name it as "
            f"{option('file')}",
            progress=progress,
            timeout=timeout,
            attempts=attempts,
            pause=pause,
        )
    verified = _UNVERIFIED if card.sha256 is None else f"as stated by {card.stated_by}"
    new = not known
    if new:
        write_json(record, _record(card, path, digest, verified))
    return Weights(path=path, card=card, sha256=digest, verified=verified, new=new)


@cache
def _cards() -> dict[str, WeightsCard]:
    found = {}
    for collection in json.loads(_CARDS.read_bytes()):
        shared = {k: v for k, v in collection.items() if k not in ("base", "files")}
        for one in collection["files"]:
            if "hub" in one:
                url = {"file": "", "url": f"https://huggingface.co/{one['hub']}"}
            else:
                url = {} if "url" in one else {"url": collection["base"] + one["file"]}
            found[one["name"]] = WeightsCard(**{**shared, **url, **one})
    return found


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _folder_of_hub(card: WeightsCard, path: Path, file: str | Path | None, *, known: bool) -> str:
    """Have the client of the hub bring a folder, unless it is here; its SHA-256."""
    if file is not None:
        remedy = "name it itself as the generator: a folder needs no name here"
        fail(f"file of {card.name}", expected="none: it is a folder", got=str(file), remedy=remedy)
    if not (known and is_there(path, folders=True)):
        hub = find_package("huggingface_hub", "hub", f"weights {card.name}")
        try:
            hub.snapshot_download(
                card.hub, local_dir=str(path), allow_patterns=_WANTED, ignore_patterns=_LEFT
            )
        except Exception as error:  # of a server, a network or a disk nearly anything is raised
            got = (str(error).splitlines() or [type(error).__name__])[0]
            remedy = f"run it again, or get {card.hub} by other means and name its folder"
            fail(f"weights {card.name}", expected=card.url, got=got, remedy=remedy, error=OSError)
    files = sorted(
        one for ending in ("json", "txt", "safetensors") for one in path.rglob(f"*.{ending}")
    )
    own = [one for one in files if not one.relative_to(path).parts[0].startswith(".")]
    listed = (f"{sha256_of(one)}  {one.relative_to(path).as_posix()}\n" for one in own)
    return hashlib.sha256("".join(listed).encode()).hexdigest()


def _copied(file: Path, path: Path, card: WeightsCard, expected: str | None, stated_by: str) -> str:
    """Copy a user's file to its place, if it is the one; returns its SHA-256."""
    check_file(file, f"file of {card.name}", remedy=f"get it from {card.page or card.url}")
    size, digest = file.stat().st_size, sha256_of(file)
    if card.size not in (None, size):
        expected_size, remedy = f"{card.size:,} bytes", f"get it again from {card.page or card.url}"
        fail(f"file of {card.name}", expected=expected_size, got=f"{size:,}", remedy=remedy)
    check_sha256(digest, expected, f"file of {card.name}", stated_by)
    if not (path.exists() and path.samefile(file)):
        atomic_write_bytes(path, _parts(file))
    return digest


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(2**20):
            yield part


def _record(card: WeightsCard, path: Path, digest: str, verified: str) -> dict[str, Any]:
    """What stands beside the file."""
    known = {key: value for key, value in asdict(card).items() if value not in (None, "")}
    return {
        **known,
        "size": sum(one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file()),
        "sha256": digest,
        "verified": verified,
        "date": datetime.now(UTC).date().isoformat(),
    }
