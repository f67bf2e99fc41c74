"""The page's section on the speed of inversion, from its benchmark."""

from __future__ import annotations

from typing import Any

__all__ = ["speed_lines"]

Json = dict[str, Any]

# For the arithmetic of a GPU, from public specifications: float32 rate of a V100, the share of it
# that convolutions reach, and the time to start one kernel.
V100_TFLOPS, REACHED, LAUNCH_US = 15.7, 0.3, 5.0


def speed_lines(bench: Json) -> list[str]:
    """The benchmark of inversion, what bounds it, and the arithmetic for a GPU."""
    config, ours = bench["config"], bench["ours"]
    lines = [
        f"`{bench['command']}`: {config['images']} `test` images, {config['threads']} threads "
        f"(baselines at their fastest: {config['threads_of_the_baseline']}). All have the same "
        "generator, starts and objective.",
        "",
        "| | mean loss | 90th percentile | images/s | evaluations an image |",
        "|---|---|---|---|---|",
    ]
    for name, row in bench["baselines"].items():
        lines.append(_speed_row(f"{name}, 500 steps", row))
    lines.append(_speed_row("**ours**", ours))
    lines.append(_speed_row("ours, stopped sooner", bench["ours_shorter"]))
    lines.append(_speed_row(f"ours, {config['many_images']} images", bench["ours_on_many_images"]))
    lines += [_speed_row(f"batch, {name}", row) for name, row in bench["rivals"].items()]
    lines += ["", _lowest_line(bench)]
    lines += ["", "At equal time, mean and 90th percentile of the loss:", ""]
    lines += ["| seconds an image | ours | " + bench["baseline"] + " |", "|---|---|---|"]
    for row in bench["at_equal_time"]:
        pair = [f"{row[who]['mean']:.4f}, {row[who]['p90']:.4f}" for who in ("ours", "theirs")]
        lines.append(f"| {row['seconds_per_image']:.3f} | {pair[0]} | {pair[1]} |")
    return [*lines, "", *_arithmetic(bench)]


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


def _speed_row(name: str, row: Json) -> str:
    evaluations = f"{row['evaluations']:.0f}" if "evaluations" in row else ""
    loss = row["loss"]
    rate = row["images_per_second"]
    return f"| {name} | {loss['mean']:.4f} | {loss['p90']:.4f} | {rate:.2f} | {evaluations} |"


def _arithmetic(bench: Json) -> list[str]:
    bounds, base = bench["bounds"], bench["baselines"][bench["baseline"]]
    by_batch = {int(k): v for k, v in bounds["milliseconds_per_image_by_batch"].items()}
    fewer = base["evaluations"] / bench["ours"]["evaluations"]
    ms_each = base["seconds_per_image"]["mean"] * 1e3 / base["evaluations"]
    cheaper = ms_each / by_batch[64]
    flop = bounds["gflop_per_evaluation"]
    in_evaluations = (
        bench["ours"]["evaluations"] * by_batch[64] / 1e3 / bench["ours"]["seconds_per_image"]
    )
    calls = bounds["operators_per_evaluation"]
    launch_ms = calls * LAUNCH_US / 1e3
    compute_ms = 64 * flop / (V100_TFLOPS * REACHED)
    ratio = fewer * launch_ms / (max(launch_ms, compute_ms) / 64)
    return [
        f"What bounds it: {100 * in_evaluations:.0f} % of our time is the generator, forward and "
        f"backward ({flop:.3f} GFLOP an evaluation, {by_batch[64]:.2f} ms an image in a batch of "
        f"64, {bounds['gflop_per_second_at_64']:.0f} GFLOP/s). The ratio is {fewer:.1f} times "
        f"fewer evaluations, times {cheaper:.1f} times less time for each (the baseline's take "
        f"{ms_each:.2f} ms, with their share of its optimizer), less our optimizer and the end of "
        "the batch, when few images are left in it.",
        "",
        f"On a GPU (not measured): one evaluation of one 32x32 image calls {calls} operators; at "
        f"{LAUNCH_US:.0f} microseconds to start a kernel that is {launch_ms:.2f} ms whatever the "
        f"GPU computes. The arithmetic of a batch of 64 takes {compute_ms:.2f} ms at "
        f"{100 * REACHED:.0f} % of a V100's {V100_TFLOPS} TFLOP/s. So a batch costs about the "
        f"larger of the two and an image alone the first, and the ratio should be {fewer:.1f} x "
        f"{ratio / fewer:.0f} = {ratio:.0f}. At 1024 pixels one image fills the GPU, batching "
        f"gives little, and the ratio falls towards that of the evaluations, {fewer:.0f}.",
    ]
