from __future__ import annotations

from pathlib import Path

import pytest

from captioner.errors import DataError
from captioner.formats import registry
from captioner.formats.entries import Entry

# As Kaggle hands Flickr30k out, its one broken row (the last caption of 2199200615.jpg) included.
RESULTS = """\
image_name| comment_number| comment
1000092795.jpg| 0| Two young guys with shaggy hair look at their hands .
1000092795.jpg| 1| Two young , White males are outside near many "bushes" .
2199200615.jpg| 3| A white dog is running with a "red" tag | or so .
2199200615.jpg| 4   A dog runs across the grass .
"""


def test_flickr30ks_table_and_its_broken_row(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(RESULTS)
    found = registry.read(tmp_path / "results.csv")
    assert found.format.name == "flickr30k"
    assert found.entries == (
        Entry(
            "1000092795.jpg",
            (
                "Two young guys with shaggy hair look at their hands .",
                'Two young , White males are outside near many "bushes" .',
            ),
        ),
        Entry(
            "2199200615.jpg",
            (
                'A white dog is running with a "red" tag | or so .',
                "A dog runs across the grass .",
            ),
        ),
    )
    assert found.notes == (
        f"{tmp_path / 'results.csv'}: line 5 lacks a bar; read as caption 4 of 2199200615.jpg",
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.jpg| A dog", "line 2 is 'a.jpg| A dog', expected a photo, a number and a caption with"),
        ("| 0| A dog", "line 2 is '| 0| A dog', expected a photo, a number and a caption"),
        ("../a.jpg| 0| A dog", "line 2 names the file '../a.jpg', expected a name inside the"),
    ],
)
def test_other_broken_rows_are_refused(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "results.csv").write_text(RESULTS.splitlines()[0] + f"\n{row}\n")
    with pytest.raises(DataError) as error:
        registry.read(tmp_path / "results.csv")
    assert str(error.value).startswith(f"{tmp_path / 'results.csv'}: {message}")


def test_a_table_without_its_heading_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("a.jpg| 0| A dog\n")
    with pytest.raises(DataError, match=r"begins with 'a.jpg\| 0\| A dog', expected the heading "):
        registry.read(tmp_path / "results.csv", "flickr30k")


def test_a_bar_in_a_name_would_part_the_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^a\|b.jpg: a bar in the name would part the row"):
        registry.write(
            [Entry("a|b.jpg", ("x",))], tmp_path / "results.csv", registry.named("flickr30k")
        )
    assert not list(tmp_path.iterdir())
