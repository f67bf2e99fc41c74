"""Build docs/results.md, and the results in README.md, from the JSON files under results/.

Command: python -m recipes.write_docs
Nothing is measured here: each figure is copied from the file that the text names. A test builds the
pages again and compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genviews.files import atomic_write_bytes, read_json
from genviews.report.text import STARRED, markdown
from genviews.report.words import value_words
from genviews.studies.result import Result
from recipes import inversion_docs, learning_docs, robustness_docs
from recipes.inversion_docs import table_lines

ROOT = Path(__file__).resolve().parent.parent
Json = dict[str, Any]


def percent(value: float) -> str:
    """0.876 -> 87.6."""
    return value_words(value, "percent")


def encoder_line(encoder: Json) -> str:
    """What the inversion encoder does alone."""
    val = encoder["l1"]["val"]
    return (
        f"On `val`, before optimisation: L1 {val['encoder']:.4f} from the encoder, "
        f"{val['mean_latent']:.4f} from the mean latent; on fresh generator samples the encoder "
        f"has {encoder['l1']['generator_samples']['encoder']:.4f}. The difference is what the "
        "generator cannot draw."
    )


def training_lines(training: Json) -> list[str]:
    """Classifiers trained on views (Eq. 8)."""
    rows = []
    for row in training["classifiers"]:
        val, test = row["val"], row["test"]
        low, high = map(percent, test["interval"])
        images = f"{percent(test['images'])} [{low}, {high}]"
        shares = [percent(share) for share in (val["images"], val["reconstructions"])]
        rows.append((row["name"], row["start"], *shares, images, percent(test["reconstructions"])))
    heads = ["val images", "val reconstructions", "test images [95 %]", "test reconstructions"]
    return table_lines(["trained on", "start", *heads], rows)


def rows_lines(views: Json) -> list[str]:
    """Which rows keep the class."""
    single = views["kept_by_style_mixing_one_row"]
    suffix = views["kept_by_style_mixing_the_last_rows_from"]
    rows = {"this row alone": single, "this row and all after it": suffix}
    ranges = ", ".join(f"{n} {a}-{b - 1}" for n, (a, b) in views["ranges"].items())
    cells = [(name, *map(percent, shares.values())) for name, shares in rows.items()]
    return [*table_lines(["style-mixed", *single], cells), "", f"Ranges: {ranges}."]


def benchmark_lines(folder: Path) -> list[str]:
    """The last line of each benchmark's JSON."""
    return [
        f"- {ratio['what']}: **{ratio['ratio']:.2f}** times {ratio['baseline']} "
        f"(`results/benchmarks/{path.name}`)."
        for path in sorted(folder.glob("*.json"))
        for ratio in read_json(path).get("ratios", [])
    ]


def section(title: str, *lines: str) -> list[str]:
    """A heading and what stands below it."""
    return [f"## {title}", "", *lines, ""]


def results_page(folder: Path) -> str:
    """The text of docs/results.md."""
    own, bench = folder / "fashion32", folder / "benchmarks"
    training, views = read_json(own / "train_on_views.json"), read_json(own / "choose_views.json")
    on_views = (
        f"`{training['command']}`; 1,200 labelled images, half of the training images replaced by "
        f"views. {training['note']}"
    )
    kept = (
        "Share of views, in %, with the class predicted for the reconstruction "
        f"(`python -m recipes.fashion32.choose_views`, {views['images']} `val` images)."
    )
    inverting = inversion_docs.speed_lines(read_json(bench / "inversion.json"))
    lines = [
        "# Results",
        "",
        "Built from the files under `results/` by `python -m recipes.write_docs`. Each file holds "
        "seed, config, versions and command.",
        "",
        *robustness_docs.result_lines(own),
        *markdown(Result.load(own / "ensemble.json")),
        encoder_line(read_json(own / "encoder.json")),
        "",
        *section("Training on views (Eq. 8)", on_views, "", *training_lines(training)),
        *markdown(Result.load(own / "inversion.json")),
        *section("Which rows keep the class", kept, "", *rows_lines(views)),
        *section("Learning from a generator alone (fashion32)", *learning_docs.learning_lines(own)),
        *section("Speed of inversion", *inverting),
        *section("Speed of learning", *learning_docs.speed_lines(read_json(bench / "learn.json"))),
        *section("Speed", *benchmark_lines(bench)),
    ]
    return "\n".join(lines)


def readme_blocks(folder: Path) -> dict[str, str]:
    """What stands between the marks of the README, by their names."""
    ensemble = Result.load(folder / "fashion32/ensemble.json")
    names = ("predicted from", "accuracy", "gain", "Holm p")
    lines = [
        ensemble.verdict,
        "",
        *learning_docs.short_table(ensemble, names),
        "",
        f"`{ensemble.record.command}` -> `results/fashion32/ensemble.json`. {STARRED} "
        f"{reconstruction_words(ensemble)}",
        *learning_docs.readme_lines(folder / "fashion32"),
        "",
        *benchmark_lines(folder / "benchmarks"),
    ]
    paying = robustness_docs.readme_lines(folder / "fashion32")
    return {"shifts": "\n".join(paying), "results": "\n".join(lines)}


def reconstruction_words(ensemble: Result) -> str:
    """What reconstructions cost classifiers that know images, and those that know them."""
    rows = {
        row["task"]: f"{100 * row['gain']:+.1f} points "
        f"[{100 * row['gain_interval'][0]:+.1f}, {100 * row['gain_interval'][1]:+.1f}]"
        for row in ensemble.record.data["rows"]
        if row["name"] == "reconstruction only"
    }
    return (
        f"Of the reconstruction alone the classifier of images says {rows['images']}, one that was "
        f"trained on reconstructions {rows['reconstructions']}."
    )


def with_blocks(text: str, blocks: dict[str, str]) -> str:
    """A page with what stands between its marks replaced."""
    for name, block in blocks.items():
        first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(first)
        _, after = rest.split(last)
        text = f"{before}{first}\n{block}\n{last}{after}"
    return text


def main() -> None:
    """Write both pages."""
    folder, readme = ROOT / "results", ROOT / "README.md"
    atomic_write_bytes(ROOT / "docs/results.md", results_page(folder).encode())
    text = with_blocks(readme.read_text(encoding="utf-8"), readme_blocks(folder))
    atomic_write_bytes(readme, text.encode())
    if (drawn := robustness_docs.figure(folder / "fashion32")) is not None:
        atomic_write_bytes(ROOT / robustness_docs.FIGURE, drawn)


if __name__ == "__main__":
    main()
