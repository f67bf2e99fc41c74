"""What holds for the repository as a whole: imports, packaging, sizes, and a README that runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

import genviews
from genviews.perturb.base import format_strength

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000


@cache
def repository_files() -> list[Path]:
    """Files that git tracks or would track; every plain file where this is no git checkout."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        hidden = {"__pycache__", "build", "dist"}
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(p in hidden or p.startswith(".") for p in path.relative_to(ROOT).parts)
        ]
    return [path for path in paths if path.is_file()]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def readme_blocks() -> list[tuple[int, str]]:
    """(line, code) of each python block of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, found.start(1)) + 1, found[1]) for found in blocks]


class TestImport:
    PURE = """
import random, socket, sys, builtins
def no_network(*args, **kwargs):
    raise AssertionError("network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = no_network
{library}
before = random.getstate()
import {module}
heavy = {{"torch", "torchvision", "sklearn", "scipy", "matplotlib", "accelerate"}}
print(sorted(heavy & set(sys.modules)), random.getstate() == before)
"""

    @pytest.mark.parametrize(
        ("module", "library"),
        [("genviews", "pass"), ("genviews.cli", "import cyclopts, rich.console, rich.progress")],
    )
    def test_importing_is_light_and_without_side_effects(self, module, library, tmp_path):
        code = self.PURE.format(module=module, library=library)
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.stderr == ""
        assert done.stdout == "[] True\n"
        assert list(tmp_path.iterdir()) == []

    def test_importing_everything_needs_and_changes_nothing(self, tmp_path):
        """No optional package, no name of a user, no file, no network, no device."""
        code = """
import getpass, importlib, pathlib, pkgutil, random, socket, sys, tomllib

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(name)

def nobody(*args, **kwargs):
    raise AssertionError("asked")

def note(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))

opened, root = [], pathlib.Path(sys.argv[1])
text = (root / "pyproject.toml").read_text()
extras = tomllib.loads(text)["project"]["optional-dependencies"]
lines = [line for name, lines in extras.items() if name != "all" for line in lines]
absent = {line.partition(">")[0].partition("[")[0] for line in lines}
absent |= {"dlib", "kornia", "cv2", "skimage"}
sys.meta_path.insert(0, Absent())
getpass.getuser = socket.getaddrinfo = socket.socket.connect = nobody
import numpy, torch, cyclopts, rich.console, rich.progress
numpy.random.seed(1), torch.manual_seed(1), random.seed(1)
state = lambda: (random.getstate(), numpy.random.get_state()[1].tolist(),
                 torch.get_rng_state().tolist())
modes = lambda: (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(),
                 torch.backends.cudnn.benchmark, torch.cuda.is_initialized())
before = state(), modes()
sys.addaudithook(note)
import genviews
for module in pkgutil.walk_packages(genviews.__path__, "genviews."):
    module.name.endswith("__main__") or importlib.import_module(module.name)
for name in genviews.__all__:
    getattr(genviews, name)
assert (state(), modes()) == before
assert not absent & {name.partition(".")[0] for name in sys.modules}
package = str(root / "genviews") + "/"
print([p for p in opened if p.startswith(package) and not p.endswith(".py") and ".pyc" not in p])
"""
        done = subprocess.run(
            [sys.executable, "-c", code, str(ROOT)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "[]\n")
        assert list(tmp_path.iterdir()) == []

    def test_public_names_are_the_defined_objects(self):
        for name in genviews.__all__:
            module, _, attribute = genviews._PUBLIC[name].partition(":")
            defined = getattr(importlib.import_module(module), attribute or name)
            found = getattr(genviews, name)  # a module of that name is called as its function
            assert found is defined or found.__call__ is defined, name
            assert defined.__doc__, name

    def test_public_names_agree_in_their_three_lists(self):
        source = tree(ROOT / "genviews/__init__.py")
        guarded = next(node for node in source.body if isinstance(node, ast.If))
        typed = {
            alias.asname or alias.name: node.module
            for node in guarded.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert list(genviews._PUBLIC) == genviews.__all__
        assert typed == {name: at.partition(":")[0] for name, at in genviews._PUBLIC.items()}

    def test_a_function_is_not_hidden_by_its_module(self):
        importlib.import_module("genviews.render")
        importlib.import_module("genviews.invert")
        assert callable(genviews.render)
        assert callable(genviews.invert)

    def test_unknown_name(self):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            genviews.nothing  # noqa: B018 (reading it raises)

    def test_dir_lists_public_names(self):
        assert set(genviews.__all__) <= set(dir(genviews))


class TestChecksAreOn:
    def test_shapes_are_checked_in_tests(self, toy):
        with pytest.raises(TypeCheckError):
            toy.synthesize(torch.zeros(3))

    def test_so_are_functions_without_shapes(self):
        with pytest.raises(TypeCheckError, match="format_strength"):
            format_strength("0.3")

    @pytest.mark.parametrize(
        ("module", "name"),
        [("genviews.checks", "lookup"), ("genviews.generators.base", "Generator.sample")],
    )
    def test_doctests_of_checked_functions_are_found(self, module, name):
        found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
        assert f"{module}.{name}" in {test.name for test in found if test.examples}


class TestLayout:
    def test_library_imports_nothing_around_it(self):
        for path in (ROOT / "genviews").rglob("*.py"):
            packages = {name.partition(".")[0] for name in imported_modules(path)}
            assert not packages & {"recipes", "benchmarks", "examples", "tests"}, path

    def test_each_recipe_has_a_main(self):
        """A file of recipes is a recipe, with `main`, or a part that another file there imports."""
        files = [p for p in (ROOT / "recipes").rglob("*.py") if p.name != "__init__.py"]
        imported = set().union(*(imported_modules(path) for path in files))
        for path in files:
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            defined = {getattr(node, "name", None) for node in tree(path).body}
            assert "main" in defined or module in imported, path

    def test_each_package_has_an_init(self):
        for top in ("genviews", "recipes"):
            for path in (ROOT / top).rglob("*.py"):
                assert (path.parent / "__init__.py").exists(), path

    def test_version_agrees_everywhere(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert project["version"] == genviews.__version__
        assert f"## {genviews.__version__}" in (ROOT / "CHANGELOG.md").read_text()

    def test_constraints_are_exact_pins(self):
        lines = (ROOT / "constraints.txt").read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith("#")]
        assert pins
        assert [p for p in pins if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", p)] == []

    def test_all_extra_holds_each_user_extra(self):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
        listed = re.findall(r"[\w-]+", extras["all"][0])[1:]
        assert set(listed) == set(extras) - {"all", "dev"}


class TestFiles:
    def test_no_large_file(self):
        large = {str(p): p.stat().st_size for p in repository_files()}
        assert {name: size for name, size in large.items() if size > 8 * MEGABYTE} == {}

    def test_package_data_is_small(self):
        data = [p for p in (ROOT / "genviews").rglob("*") if p.suffix not in (".py", ".pyc")]
        assert sum(p.stat().st_size for p in data if p.is_file()) < 20 * MEGABYTE

    def test_no_path_of_a_machine(self):
        pattern = re.compile(rb"(?<![\w.:-])/(?:work|root|home|Users)/\w")
        found = [
            f"{path.relative_to(ROOT)}: {match[0].decode()}"
            for path in repository_files()
            if (match := pattern.search(path.read_bytes()))
        ]
        assert found == []


def laws() -> list[list[str]]:
    """The commands that show what the README promises, by words."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("## What it will not do silently")[1].split("\n## ")[0]
    return [one.split() for one in re.findall(r"`((?:pytest|python) [^`]+)` \|\n", table)]


class TestReadme:
    def test_python_blocks_run_in_order(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        blocks = readme_blocks()
        assert blocks
        namespace: dict[str, object] = {"__name__": "readme"}
        for line, code in blocks:
            code = re.sub(r"range\(\d+\)", "range(20)", code)  # the same with fewer images,
            code = re.sub(r"steps=\d+", "steps=3", code)  # and fewer steps
            padded = "\n" * (line - 1) + code  # so that an error shows the README's line
            exec(compile(padded, str(ROOT / "README.md"), "exec"), namespace)

    def test_local_links_exist(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
        assert [target for target in targets if not (ROOT / target).exists()] == []

    def test_commands_that_show_its_laws_can_be_run(self):
        """What they run is this suite, so they are not run again: all that they name is there."""
        commands = laws()
        assert len(commands) == 10
        for _, *words in (one for one in commands if one[0] == "pytest"):
            chosen = words[words.index("-k") + 1] if "-k" in words else "def test_"
            for path in (ROOT / word for word in words if "/" in word):
                files = path.rglob("test_*.py") if path.is_dir() else [path]
                assert any(chosen in file.read_text(encoding="utf-8") for file in files), path

    def test_what_shows_a_law_without_pytest_has_a_test_of_its_own(self):
        """In quick form: as written they take minutes. `test_scripts` starts each of them."""
        quick = [
            "tests/test_bring_your_own.py: journey_mistakes",
            "tests/benchmarks/test_robust.py: kill.",
            "tests/benchmarks/test_hostile.py: hostile.",
        ]
        scripts = [one for one in laws() if one[0] == "python"]
        assert len(scripts) == len(quick)
        for words, (file, used) in zip(scripts, (one.split(": ") for one in quick), strict=True):
            path = words[-1] if words[1] != "-m" else words[2].replace(".", "/") + ".py"
            assert (ROOT / path).is_file()
            assert Path(path).stem == used.rstrip(".")
            assert used in (ROOT / file).read_text(encoding="utf-8")
