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

MAY_IMPORT = {
    **dict.fromkeys(VALUES, VALUES),
    "metrics": VALUES,
    "models": VALUES,
    "source": VALUES,
    "settings": VALUES,
    "lattice": VALUES,
    "reading": VALUES,
    "stages": VALUES | {"models", "source", "lattice", "reading"},
    "press": VALUES,
}
"""Rooms that are not named may import what they like, except training, which nobody does."""


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
    if room in MAY_IMPORT:
        assert imported <= MAY_IMPORT[room], f"{room} must not import {', '.join(sorted(imported - MAY_IMPORT[room]))}"


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
