"""The page's section on the speed of inversion, from its benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["speed_lines", "table_lines"]

Json = dict[str, Any]

# For the arithmetic of a GPU, from public specifications: float32 rate of a V100, the share of it
# that convolutions reach, and the time to start one kernel.
V100_TFLOPS, REACHED, LAUNCH_US = 15.7, 0.3, 5.0


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table as lines of Markdown, of cells that are text already."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return [lines[0], "|---" * len(heads) + "|", *lines[1:]]


def speed_lines(bench: Json) -> list[str]:
    """The benchmark of inversion, what bounds it, and the arithmetic for a GPU."""
    config, baseline = bench["config"], bench["baseline"]
    named = {f"{name}, 500 steps": row for name, row in bench["baselines"].items()}
    named |= {"**ours**": bench["ours"], "ours, stopped sooner": bench["ours_shorter"]}
    named[f"ours, {config['many_images']} images"] = bench["ours_on_many_images"]
    named |= {f"batch, {name}": row for name, row in bench["rivals"].items()}
    rows = [
        (
            name,
            f"{row['loss']['mean']:.4f}",
            f"{row['loss']['p90']:.4f}",
            f"{row['images_per_second']:.2f}",
            f"{row['evaluations']:.0f}" if "evaluations" in row else "",
        )
        for name, row in named.items()
    ]
    equal = [
        (
            f"{row['seconds_per_image']:.3f}",
            *(f"{row[who]['mean']:.4f}, {row[who]['p90']:.4f}" for who in ("ours", "theirs")),
        )
        for row in bench["at_equal_time"]
    ]
    heads = ("", "mean loss", "90th percentile", "images/s", "evaluations an image")
    return [
        f"`{bench['command']}`: {config['images']} `test` images, {config['threads']} threads "
        f"(baselines at their fastest: {config['threads_of_the_baseline']}). All have the same "
        "generator, starts and objective.",
        "",
        *table_lines(heads, rows),
        "",
        _lowest_line(bench),
        "",
        "At equal time, mean and 90th percentile of the loss:",
        "",
        *table_lines(("seconds an image", "ours", baseline), equal),
        "",
        *_arithmetic(bench),
    ]


def _lowest_line(bench: Json) -> str:
    """The ratio at a loss that no baseline beats, from the runs with a step limit alone."""
    lowest = min(row["loss"]["mean"] for row in bench["baselines"].values())
    rate = bench["baselines"][bench["baseline"]]["images_per_second"]
    for steps, row in bench["ours_by_step_limit"].items():
        if row["loss"]["mean"] <= lowest:
            return (
                f"With {steps} steps and no early stop ours has {row['loss']['mean']:.4f}, lower "
                f"than every baseline, at {row['images_per_second']:.1f} images/s: "
                f"{row['images_per_second'] / rate:.1f} times {bench['baseline']}. A batch and an "
                f"image alone differ by at most {bench['batch_against_alone']:.1e} in loss."
            )
    return "No step limit that was tried reaches the lowest loss of the baselines."


def _arithmetic(bench: Json) -> list[str]:
    ours, bounds, base = bench["ours"], bench["bounds"], bench["baselines"][bench["baseline"]]
    each, flop = bounds["milliseconds_per_image_by_batch"]["64"], bounds["gflop_per_evaluation"]
    fewer = base["evaluations"] / ours["evaluations"]
    ms_each = base["seconds_per_image"]["mean"] * 1e3 / base["evaluations"]
    in_evaluations = ours["evaluations"] * each / 1e3 / ours["seconds_per_image"]
    calls = bounds["operators_per_evaluation"]
    launch_ms, compute_ms = calls * LAUNCH_US / 1e3, 64 * flop / (V100_TFLOPS * REACHED)
    ratio = fewer * launch_ms / (max(launch_ms, compute_ms) / 64)
    return [
        f"What bounds it: {100 * in_evaluations:.0f} % of our time is the generator, forward and "
        f"backward ({flop:.3f} GFLOP an evaluation, {each:.2f} ms an image in a batch of "
        f"64, {bounds['gflop_per_second_at_64']:.0f} GFLOP/s). The ratio is {fewer:.1f} times "
        f"fewer evaluations, times {ms_each / each:.1f} times less time for each (the baseline's "
        f"take {ms_each:.2f} ms, with their share of its optimizer), less our optimizer and the "
        "end of the batch, when few images are left in it.",
        "",
        f"On a GPU (not measured): one evaluation of one 32x32 image calls {calls} operators; at "
        f"{LAUNCH_US:.0f} microseconds to start a kernel that is {launch_ms:.2f} ms whatever the "
        f"GPU computes. The arithmetic of a batch of 64 takes {compute_ms:.2f} ms at "
        f"{100 * REACHED:.0f} % of a V100's {V100_TFLOPS} TFLOP/s. So a batch costs about the "
        f"larger of the two and an image alone the first, and the ratio should be {fewer:.1f} x "
        f"{ratio / fewer:.0f} = {ratio:.0f}. At 1024 pixels one image fills the GPU, batching "
        f"gives little, and the ratio falls towards that of the evaluations, {fewer:.0f}.",
    ]
