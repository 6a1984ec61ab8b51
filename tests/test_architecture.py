"""The direction of imports: what each room of the house may know of."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "ecglift"

VALUES = {"leads", "paper", "geometry", "sheet", "problem", "recording"}
"""One truth each; they know nothing but one another."""

UPSTAIRS = {"__init__", "cli", "server", "batch", "kaggle", "scoring", "pipeline"}
UPSTAIRS |= {"draw", "formats", "press", "training", "evaluate"}
"""Rooms that build on stages. The stages, and all that they are made of, know none of these."""

EXCEPT = {
    "recording": {"formats", "draw"},  # its methods save and plot, inside the functions
    "press": {"formats"},
}
WHERE_BOTH_MEET = SRC / "press" / "benchmark.py"
"""Presses pages and digitizes them; no other file of the press knows of the pipeline."""


def _rooms(path: Path, tree: ast.AST) -> Iterator[str]:
    """The rooms (first name below ``ecglift``) that a file imports, also inside functions and for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            whole = node.module == "ecglift"
            names = [f"ecglift.{alias.name}" for alias in node.names] if whole else [node.module or ""]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "ecglift" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


FILES = sorted(SRC.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_one_way(path: Path) -> None:
    room = _room(path)
    imported = set(_rooms(path, ast.parse(path.read_text(encoding="utf-8")))) - {room}
    assert "training" not in imported
    allowed = EXCEPT.get(room, set())
    if room in VALUES:
        assert imported <= VALUES | allowed
    elif room not in UPSTAIRS:
        assert not (imported & UPSTAIRS) - allowed
    elif room == "press" and path != WHERE_BOTH_MEET:
        assert not imported & (UPSTAIRS - allowed | {"stages"})


@pytest.mark.parametrize("path", sorted((SRC / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_stages_do_not_import_each_other(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [m for m in modules if m.startswith("ecglift.stages")]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_core_needs_only_core_dependencies(path: Path) -> None:
    """Extras and torch are imported inside the functions that need them, never when a module loads."""
    if _room(path) == "training":
        pytest.skip("training needs torch")
    core = {"numpy", "scipy", "cv2", "PIL", "pypdfium2", "onnxruntime", "cyclopts", "rich", "ecglift"}
    top = ast.parse(path.read_text(encoding="utf-8")).body
    imported = {alias.name.partition(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").partition(".")[0] for node in top if isinstance(node, ast.ImportFrom)}
    assert imported - core <= set(sys.stdlib_module_names)
