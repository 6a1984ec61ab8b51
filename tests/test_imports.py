"""What the package shows, and that nothing slow is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

import ecglift

SLOW = ("cv2", "scipy", "onnxruntime", "PIL", "pypdfium2", "torch", "matplotlib", "pandas", "pyarrow")


def _loaded(code: str) -> set[str]:
    """Top-level packages in memory after ``code`` ran in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_exports_are_the_intended_ones() -> None:
    assert set(ecglift.__all__) == {
        "Digitizer",
        "Problem",
        "Recording",
        "Run",
        "Segment",
        "Settings",
        "__version__",
        "digitize",
        "digitize_all",
    }
    assert len(ecglift.__all__) <= 12
    assert all(hasattr(ecglift, name) for name in ecglift.__all__)


def test_import_loads_nothing_slow() -> None:
    loaded = _loaded("import ecglift")
    assert not loaded & set(SLOW)
    assert "cyclopts" not in loaded


def test_command_line_loads_nothing_slow() -> None:
    assert not _loaded("import ecglift.cli") & set(SLOW)
