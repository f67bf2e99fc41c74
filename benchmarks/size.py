"""How much code there is: lines of package, recipes and tests, beside those of an earlier commit.

Also what one new study, perturbation or loss takes: each example of examples/extend is applied to a
copy of the package, and the copy compared with the package.

Command: python -m benchmarks.size [--base COMMIT]
Baseline: commit efc38a2, the first version. A code line holds more than white space, a comment or
a docstring; a statement over three lines is three.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import io
import re
import shutil
import subprocess
import tempfile
import tokenize
from pathlib import Path

from genviews.environment import environment
from genviews.files import write_json

RESULT = Path("results/benchmarks/size.json")
PARTS = ("genviews", "recipes", "tests")
EXAMPLES = Path("examples/extend")
BASE = "efc38a2"
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str) -> int:
    r"""Number of lines with code: no comment, no docstring, not blank.

    Example:
        >>> code_lines('"Doc."\n\nx = (  # one\n    1\n)\n')
        3
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return len(lines)


def documented_names(source: str) -> int:
    r"""Number of public classes, functions and methods with a docstring.

    Example:
        >>> documented_names('class A:\n    "Doc."\n    def b(self): ...\n')
        1
    """
    found, bodies = 0, [ast.parse(source).body]
    while bodies:
        for node in bodies.pop():
            if isinstance(node, _DOCUMENTED[1:]) and not node.name.startswith("_"):
                found += ast.get_docstring(node) is not None
                if isinstance(node, ast.ClassDef):
                    bodies.append(node.body)
    return found


def _files(commit: str | None, part: str) -> dict[str, str]:
    """Path -> source of the Python files of a part, of a commit or (None) of the working tree."""
    listing = ["git", "ls-files", "-co", "--exclude-standard", part]
    if commit is not None:
        listing = ["git", "ls-tree", "-r", "--name-only", commit, part]
    names = [n for n in _run(listing).splitlines() if n.endswith(".py")]
    if commit is not None:
        return {name: _run(["git", "show", f"{commit}:{name}"]) for name in names}
    return {n: Path(n).read_text(encoding="utf-8") for n in names if Path(n).exists()}


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(commit: str | None) -> dict[str, dict[str, int]]:
    """Files, lines, code lines and documented names of each part; the command line apart, too."""
    found = {}
    for part in (*PARTS, "genviews/cli"):
        sources = _files(commit, part)
        found[part] = {
            "files": len(sources),
            "lines": sum(len(text.splitlines()) for text in sources.values()),
            "code_lines": sum(code_lines(text) for text in sources.values()),
            "documented_names": sum(documented_names(text) for text in sources.values()),
        }
    return found


def extend(tree: Path, example: Path) -> None:
    """Apply an example to a tree that holds the package: its file, and its line at a table's end.

    Args:
        tree: folder with `genviews`; written to.
        example: whose docstring says both.

    Raises:
        ValueError: the docstring does not say them, or there is no such table.
    """
    text = example.read_text(encoding="utf-8")
    form = r"^Its file: (\S+)\nIts line, in (\w+) of (\S+):\n\n(    .+\n)"
    said = re.search(form, text, re.MULTILINE)
    if said is None:
        raise ValueError(f"{example}: the docstring names no file and line")
    file, table, registry, line = said.groups()
    (tree / file).write_text(text, encoding="utf-8")
    source = (tree / registry).read_text(encoding="utf-8")
    longer, found = re.subn(
        rf"(^{table}\b.*?\n)(?=    \}}|\)$)",
        lambda match: match[1] + line,
        source,
        count=1,
        flags=re.MULTILINE | re.DOTALL,
    )
    if not found:
        raise ValueError(f"{registry}: no table {table}")
    (tree / registry).write_text(longer, encoding="utf-8")


def touched(example: Path, package: Path = Path("genviews")) -> dict[str, int]:
    """New files of one example, and lines added to or taken from those that were there."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, tree / "genviews", ignore=ignore)
        before = _sources(tree)
        extend(tree, example)
        after = _sources(tree)
    lines = 0
    for name, text in before.items():
        changes = difflib.ndiff(text.splitlines(), after[name].splitlines())
        lines += sum(change[0] in "+-" for change in changes) if after[name] != text else 0
    return {"files": len(after.keys() - before.keys()), "lines": lines}


def _sources(tree: Path) -> dict[str, str]:
    return {str(path): path.read_text(encoding="utf-8") for path in tree.rglob("*.py")}


def main(base: str = BASE, out: Path = RESULT) -> dict[str, object]:
    """Count both trees, write the JSON, print the table."""
    then, now = measure(base), measure(None)
    fewer = sum(then[p]["code_lines"] - now[p]["code_lines"] for p in ("genviews", "recipes"))
    one_more = {path.stem: touched(path) for path in sorted(EXAMPLES.glob("*.py"))}
    record: dict[str, object] = {
        "benchmark": "size",
        "command": "python -m benchmarks.size",
        "config": {"base": base, "seed": 0},  # nothing is drawn
        "base": then,
        "now": now,
        "fewer_code_lines_of_package_and_recipes": fewer,
        "one_more": one_more,
        "environment": environment(),
    }
    write_json(out, record)
    for part, counts in now.items():
        before, after = then[part]["code_lines"], counts["code_lines"]
        print(f"{part}: {after} code lines in {counts['files']} files, {after - before:+d}")
    names = [tree["genviews"]["documented_names"] for tree in (then, now)]
    print(f"documented public names of the package: {names[1]}, {names[1] - names[0]:+d}")
    print(f"package and recipes: {-fewer:+d} code lines against {base}")
    for thing, count in one_more.items():
        print(f"a new {thing}: {count['files']} new file, {count['lines']} line elsewhere")
    return record


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", default=BASE)
    main(parser.parse_args().base)
