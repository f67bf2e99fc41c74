"""Each example of examples/extend is one file and one line, and works once they are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.size import extend, touched
from tests.processes import LONG

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples/extend").glob("*.py"))

# In the copy: each is found by its name, and keeps its contract.
LOOK = """
import torch, genviews
from genviews import GeneratorKit, ToyGenerator
from genviews.cli import main
from genviews.perturb.base import perturbation
from genviews.represent.losses import choose_objective
from genviews.studies.registry import find_study
from genviews.testing import check_loss, check_perturbation, check_study

print(genviews.__file__)

kit = GeneratorKit(ToyGenerator())
views = perturbation("interpolate_fine_0.50", kit)
assert perturbation(views.name, kit) == views
check_perturbation(views, kit.generator)
mean = kit.generator.mean_latent()
latents = mean + torch.randn(2, *mean.shape, generator=torch.Generator().manual_seed(0))
from genviews.rng import Rng
moved = views(kit.generator, latents, 64, Rng(0).streams(range(2)))[:, :, -1] - mean[-1]
part = (moved / (latents - mean)[:, None, -1]).flatten()  # of the way that is left
assert 0.5 <= part.min() < 0.55 and 0.95 < part.max() <= 1, part

loss, config = choose_objective("alignment")
assert config == {"normalize": True}
check_loss(loss)
check_loss(loss, num_views=3)
u = torch.nn.functional.normalize(torch.randn(5, 2, 4, dtype=torch.float64), dim=-1)
x, y = u.unbind(1)
wanted = (x - y).norm(dim=1).pow(2).mean()  # as the paper's code has it
wanted += sum(torch.pdist(v).pow(2).mul(-2).exp().mean().log() for v in (x, y)) / 2
torch.testing.assert_close(loss(u), wanted)

check_study(find_study("ensembling/agreement"))
assert main(["study", "--list"]) == 0
assert main(["study", "ensembling/agreement", "--help"]) == 0
"""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_one_file_and_one_line(example):
    assert touched(example, ROOT / "genviews") == {"files": 1, "lines": 1}


def test_there_is_one_of_each():
    assert [path.stem for path in EXAMPLES] == ["loss", "perturbation", "study"]


def test_each_works_where_it_was_added(tmp_path):
    shutil.copytree(ROOT / "genviews", tmp_path / "genviews")
    for example in EXAMPLES:
        extend(tmp_path, example)
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    assert "agreement" in done.stdout
    assert "--num-views" in done.stdout
