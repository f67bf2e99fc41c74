"""The pages' section on learning from a generator alone, from results/fashion32/learn_*.json."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from genviews.files import read_json

__all__ = ["learning_lines", "learning_table", "readme_lines", "speed_lines"]

Json = dict[str, Any]
HALF, TORCH = ", bfloat16", ", torch's batch norm"  # endings of paths of benchmarks/learn.py

TITLES = {
    "table1": "Unconditional generator (Table 1 of the paper)",
    "figure5": "Deviation of the Gaussian step, with pixel views (Fig. 5)",
    "figure6": "Number of unique samples at equal updates, Gaussian + T_x (Fig. 6)",
    "figure9": "Real images, a share of which is replaced by generated ones (Fig. 9)",
    "table3": "Class-conditional generator, supervised contrastive (Table 3)",
    "table6": "Classifiers (Table 6)",
    "longer": "Longer trainings (ours)",
}


def learning_lines(folder: Path) -> list[str]:
    """Everything that the recipe has measured: claims first, then the tables."""
    found = _studies(folder)
    if not found:
        return ["`python -m recipes.fashion32.learn` has not been run."]
    first = next(iter(found.values()))
    lines = [
        f"{first['updates']} updates of {first['batch']} anchors for every row, "
        f"{len(first['seeds'])} seeds, one compact encoder; probes fitted on the "
        f"{first['config']['probe']} ({first['test_images']:,} images). Intervals are of test "
        "images and seeds together (95 %); differences are paired, p is corrected by Holm over the "
        "rows of a table. The generator has seen `train` without labels.",
        "",
        "### The paper's claims, at this size",
        "",
        *claim_lines(list(found.values())),
    ]
    for name, study in found.items():
        lines += ["", f"### {TITLES[name]}", "", *_intro(study), "", *learning_table(study)]
    for file, told in (("learn_bfloat16", precision_lines), ("fidelity", fidelity_lines)):
        path = folder / f"{file}.json"
        lines += told(read_json(path)) if path.exists() else []
    return lines


def fidelity_lines(result: Json) -> list[str]:
    """How close the generators' images are, beside what they teach."""
    config = result["config"]
    lines = [
        "",
        "### How good the generators are",
        "",
        f"`{result['command']}`: {config['count']:,} samples against as many `{config['split']}` "
        f"images; features: {config['features']}. Not to be compared with FIDs of Inception "
        "features.",
        "",
        "| | FID | KID | precision, % | recall, % |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {name} | {row['fid']:.2f} | {row['kid']:.4f} | {100 * row['precision']:.1f} "
        f"| {100 * row['recall']:.1f} |"
        for name, row in result["measured"].items()
    ]


def _studies(folder: Path) -> dict[str, Json]:
    paths = {name: folder / f"learn_{name}.json" for name in TITLES}
    return {name: read_json(path) for name, path in paths.items() if path.exists()}


def claim_lines(studies: list[Json]) -> list[str]:
    """A line for each claim."""
    lines = [
        "| claim | paper, % | ours, points [95 %] | verdict | command |",
        "|---|---|---|---|---|",
    ]
    for study in studies:
        for claim in study["claims"]:
            gap = claim["difference"]
            lines.append(
                f"| {claim['text']}: {claim['a']} against {claim['b']} | {claim['paper']} "
                f"| {_points(gap)} | {claim['verdict']} | `{study['command']}` |"
            )
    lines += [
        "",
        "The paper's figures are top-1 on ImageNet (Table 1, 3) or ImageNet-100 (Fig. 9, Table 6), "
        "other data and scale. Verdicts: `holds`, `not seen` (the interval has 0 in it), `the "
        "opposite`; for claims of equality `holds` means within one point, `better` or `worse` "
        "that 0 is outside, `no difference seen` that the interval is wider than a point.",
    ]
    return lines


def _intro(study: Json) -> list[str]:
    return [f"`{study['command']}`. {study['verdict']}"]


def learning_table(study: Json) -> list[str]:
    """A line for each row."""
    against = study["reference"]
    lines = [
        f"| row | linear probe, % [95 %] | against {against}, points [95 %] | p | kNN, % [95 %] "
        "| on val, % |",
        "|---|---|---|---|---|---|",
    ]
    for row in study["rows"]:
        gap = "" if row["against"] is None else _points(row["against"]["linear"])
        p = study["p_holm"]["linear"].get(row["name"])
        lines.append(
            f"| {row['name']} | {_accuracy(row['accuracy']['linear'])} | {gap} "
            f"| {'' if p is None else f'{p:.2g}'} | {_accuracy(row['accuracy']['knn'])} "
            f"| {100 * row['val']['linear']:.1f} |"
        )
    return lines


def speed_lines(bench: Json) -> list[str]:
    """The benchmark of learning: anchors a second, waiting, and what bounds the ratio."""
    rates = {name: statistics.median(v) for name, v in bench["anchors_per_second"].items()}
    ours, streamed = "genviews, stored views", "genviews, views rendered while training"
    plain = "a DataLoader with torchvision's transforms, one image at a time"
    lines = [
        f"`{bench['command']}`: compact encoder, batches of {bench['config']['batch']}, "
        f"{bench['config']['threads']} threads, each way with the threads, workers and batches "
        "ahead that were fastest for it.",
        "",
        "| | anchors a second, median | with | waiting for views, % |",
        "|---|---|---|---|",
        *[
            f"| {name} | {rate:.0f} | {bench['chosen'][name]} | {_waiting(bench, name)} |"
            for name, rate in rates.items()
        ],
        "",
        "Twice the plain loop was the aim. With stored views it is "
        f"{rates[ours] / rates[plain]:.2f} times in 32 bits, where both have our encoder, "
        f"{rates[ours] / rates[plain + TORCH]:.2f} times where the plain loop has torch's batch "
        f"norm; in bfloat16 {rates[ours + HALF] / rates[plain]:.2f} times the loop in 32 bits and "
        f"{rates[ours + HALF] / rates[plain + HALF]:.2f} times the loop in bfloat16. The encoder's "
        "own step is most of the time in all. Beyond the rendering itself (aim: under 10 %), "
        f"{100 * bench['waiting'][streamed]['beyond_rendering']:.0f} % of the time is spent "
        "waiting for views that are rendered while training, and "
        f"{100 * bench['waiting'][ours]['beyond_rendering']:.0f} % for stored ones "
        f"({100 * bench['waiting'][ours + HALF]['beyond_rendering']:.0f} % in bfloat16), which is "
        "reading them and making pixel views.",
    ]
    for name, ratio in bench["pixel_views"]["ours_against"].items():
        lines.append(f"Pixel views alone: {ratio:.2f} times {name}.")
    return lines


def _waiting(bench: Json, name: str) -> str:
    """Share of the time, where it was measured."""
    found = bench["waiting"].get(name)
    return "" if found is None else f"{100 * found['share']:.1f}"


def precision_lines(result: Json) -> list[str]:
    """Whether bfloat16 costs accuracy."""
    lines = [
        "",
        "### Trained in bfloat16",
        "",
        f"`{result['command']}`: the same rows and seeds, the encoder under autocast.",
        "",
        "| row | linear probe in 32 bits, % [95 %] | in bfloat16 | difference, points [95 %] | p "
        "| kNN, difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result["compared"].items():
        single, half = row["float32"]["accuracy"]["linear"], row["bfloat16"]["accuracy"]["linear"]
        gap = row["bfloat16"]["against"]
        lines.append(
            f"| {name} | {_accuracy(single)} | {_accuracy(half)} | {_points(gap['linear'])} "
            f"| {gap['linear']['p_value']:.2g} | {_points(gap['knn'])} |"
        )
    return lines


def readme_lines(folder: Path) -> list[str]:
    """The short answer of the learning arrow."""
    studies = _studies(folder)
    if "table1" not in studies:
        return []
    study = studies["table1"]
    lines = [
        "",
        f"Learning from the generator alone: {study['verdict']}",
        "",
        "| encoder learnt from | linear probe, % [95 %] | against real, points [95 %] |",
        "|---|---|---|",
    ]
    for row in study["rows"]:
        gap = "" if row["against"] is None else _points(row["against"]["linear"])
        lines.append(f"| {row['name']} | {_accuracy(row['accuracy']['linear'])} | {gap} |")
    lines += ["", f"`{study['command']}` -> `results/fashion32/learn_table1.json`."]
    return lines


def _accuracy(found: Json) -> str:
    low, high = found["interval"]
    return f"{100 * found['mean']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _points(found: Json) -> str:
    low, high = found["interval"]
    return f"{100 * found['mean']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
