"""The repository as a whole: what is public is documented, what ships is only the packages."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mig", "verify", "stress", "traces")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LONGEST_MODULE = 600
LONGEST_FUNCTION = 70

# Imports every module named on its command line, and checks what importing must not do.
IMPORTER = """
import importlib, sys, threading
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.__all__ names {public}, which is not there"
assert threading.active_count() == 1, f"importing started {threading.enumerate()}"
"""


def sources(package: str) -> list[Path]:
    """Return the Python files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    """Return the name that `path` is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def public(name: str) -> bool:
    """Return whether another layer may use `name`."""
    return not any(part.startswith("_") for part in name.split("."))


def undocumented(tree: ast.Module | ast.ClassDef, name: str) -> Iterator[str]:
    """Yield the public names in and under `tree` that have no docstring."""
    if ast.get_docstring(tree) is None:
        yield name
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and public(node.name):
            yield from undocumented(node, f"{name}.{node.name}")
        elif isinstance(node, FUNCTIONS) and public(node.name) and not documented(node):
            yield f"{name}.{node.name}"


def documented(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether `node` has a docstring, or is a further form of something that has."""
    if ast.get_docstring(node) is not None:
        return True
    words = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    return bool(words & {"overload", "setter", "deleter", "override"})


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings(package: str) -> None:
    """Every public module, class, function and method has a docstring."""
    missing = [
        found
        for path in sources(package)
        if public(module_name(path))
        for found in undocumented(ast.parse(path.read_text()), module_name(path))
    ]
    assert [] == missing


@pytest.mark.parametrize("package", PACKAGES)
def test_sizes(package: str) -> None:
    """No module has more than 600 lines, no function more than 70."""
    large = []
    for path in sources(package):
        text = path.read_text()
        if text.count("\n") > LONGEST_MODULE:
            large.append(module_name(path))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, FUNCTIONS) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    large.append(f"{module_name(path)}.{node.name}")
    assert [] == large


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_imports(package: str) -> None:
    """Every module imports in a fresh process: no warning, no output, no thread left."""
    names = [module_name(path) for path in sources(package) if path.name != "__main__.py"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORTER, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_wheel(tmp_path: Path) -> None:
    """The wheel holds the four packages, whole, with licence and command, and nothing else."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
        commands = archive.read(f"{info}/entry_points.txt").decode()
    shipped = {name for name in names if name.split("/")[0] != info}
    expected = {str(path.relative_to(ROOT)) for package in PACKAGES for path in sources(package)}
    assert set(PACKAGES) == {name.split("/")[0] for name in shipped}
    assert expected == {name for name in shipped if name.endswith(".py")}
    assert {f"{package}/py.typed" for package in PACKAGES} <= shipped
    assets = {str(path.relative_to(ROOT)) for path in (ROOT / "traces/html/assets").iterdir()}
    assert "traces/html/assets/timeline.js" in assets <= shipped
    assert not [name for name in names if "__pycache__" in name]
    assert f"{info}/licenses/LICENSE" in names
    assert "stage3 = stress.cli:main" in commands
    assert "stage3 = verify.pytest_plugin" in commands


def test_links() -> None:
    """Every relative link in a Markdown file leads to a file that is there."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert len(pages) >= 3
    assert [] == broken
