"""Many files: what is read, under which names, and that one bad file costs no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecglift import Settings
from ecglift.batch import digitize_files, expand, in_order, plan


def work(item: str) -> str:
    """What a worker does in these tests: raise, die, or answer."""
    if item == "raise":
        raise RuntimeError("no good")
    if item == "die":
        os._exit(3)
    return item.upper()


def lost(item: str, reason: str) -> str:
    return f"lost {item}: {reason}"


def test_folder_gives_its_images_sorted_and_a_file_itself(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.pdf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    odd = tmp_path / "notes.txt"
    found = [str(Path(name).relative_to(tmp_path)) for name in expand([str(odd), str(tmp_path)])]
    assert found == ["notes.txt", "a.JPG", "b.png", "sub/c.pdf"]
    assert expand([str(tmp_path / "*.png")]) == [str(tmp_path / "b.png")]


def test_what_does_not_exist_stays_to_be_told() -> None:
    assert expand(["none.png", "no*.png", "-"]) == ["none.png", "no*.png", "-"]


def test_each_source_is_read_once() -> None:
    assert expand(["x.png", "x.png"]) == ["x.png"]


def test_equal_stems_get_numbers() -> None:
    jobs = plan(["a/x.png", "b/x.jpg", "c/X.tif", "x-2.png", "-"], stdin=b"bytes")
    assert [job.stem for job in jobs] == ["x", "x-2", "X-3", "x-2-2", "stdin"]
    assert jobs[-1].data == b"bytes"


def test_order_is_kept_and_bad_items_cost_no_others() -> None:
    items = ["one", "die", "two", "raise", "three", "four"]
    assert list(in_order(work, items, 2, lost)) == [
        "ONE",
        "lost die: its process died",
        "TWO",
        "lost raise: RuntimeError: no good",
        "THREE",
        "FOUR",
    ]


def test_one_item_alone_needs_no_process() -> None:
    assert list(in_order(lambda item: item + 1, [1], 4, lambda item, reason: 0)) == [2]
    assert list(in_order(work, ["raise"], 4, lost)) == ["lost raise: RuntimeError: no good"]
    assert list(in_order(work, [], 4, lost)) == []


def test_nobody_wants_the_rest() -> None:
    results = in_order(work, ["one", "two", "three"], 1, lost)
    assert next(results) == "ONE"
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.png", b"", "empty-file"),
        ("words.png", b"This is a letter, not a picture.\n" * 20, "not-an-image"),
        ("cut.png", None, "truncated"),
        ("missing.png", ..., "file-not-found"),
    ],
)
def test_unreadable_file_is_a_failed_result(tmp_path: Path, name: str, content: object, code: str) -> None:
    path = tmp_path / name
    if content is None:
        from PIL import Image

        Image.effect_noise((400, 300), 60).save(path)
        path.write_bytes(path.read_bytes()[:20_000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    ((page,),) = digitize_files(plan([str(path)]), Settings())
    assert page.status == "failed"
    assert page.source == str(path)
    assert [problem.code for problem in page.problems] == [code]
    assert page.summary["status"] == "failed"
