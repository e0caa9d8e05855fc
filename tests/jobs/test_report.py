"""`lodepack report` writes one page that needs no network, and that no text of the data can break."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import io
import json
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.cli import main
from jobs.inspect.output import open_output
from jobs.report.bars import CELLS, bar
from jobs.report.command import write_report
from jobs.report.details import run_lengths
from jobs.report.figures import MAX_COLUMNS, histogram, pack_histograms
from jobs.report.gathering import collect
from jobs.report.page import SCRIPT, STYLE, TEMPLATE, render
from jobs.report.pictures import BLANK, put_together
from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.types import Modality
from tests.support import build, png_that_only_decoding_refuses, write_shard

HOSTILE = "</script><script>document.title='broken'</script><!--<img src=x onerror=\"document.title='b'\">{{ 7*7 }}"
KEY = "<b onmouseover='x'>&amp;"
NUM_MANY = 10_000
VIEW_FIELDS = {"kind": "region", "box": [0, 0, 64, 48], "row": 0, "col": 0, "width": 64, "height": 48}


class Page(html.parser.HTMLParser):
    """The elements of a page as a browser takes them, and the text of its scripts and styles."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.cdata_elem in self.raw:
            self.raw[self.cdata_elem].append(data)

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.raw["script"][0]))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs whose names and texts are markup; two rejected samples whose names are, too."""
    folder = tmp_path_factory.mktemp("hostile")
    stream = io.BytesIO()
    Image.new("RGB", (300, 200), (200, 30, 30)).save(stream, "PNG")
    members: dict[str, bytes] = {}
    for number in range(6):
        key = f"{KEY}{number}"
        text = json.dumps({"texts": [HOSTILE * 8, None], "images": [None, "0.png"]}).encode()
        members |= {f"{key}.json": text, f"{key}.0.png": stream.getvalue()}
    members |= {f"{KEY}bad.json": b"{"}
    members |= {f"{KEY}worse.json": b'{"texts": [null], "images": ["0.png"]}'}
    members |= {f"{KEY}worse.0.png": png_that_only_decoding_refuses()}
    shards = write_shard(folder / "hostile-000000.tar", members)
    build(folder / "out", str(shards), "sequence_length=1024", "score.participatory=0", "limits.max_reject_ratio=1")
    return folder / "out"


@pytest.fixture(scope="module")
def page(output: Path) -> Page:
    write_report(str(output), None, num_whole=3)
    return Page((output / "report.html").read_bytes())


def policy(page: Page) -> str:
    named = [attributes for tag, attributes in page.elements if tag == "meta"]
    (found,) = [named_["content"] for named_ in named if named_.get("http-equiv") == "Content-Security-Policy"]
    assert found
    return found


def parted(page: str) -> tuple[str, str, str]:
    """The page before, in and behind what it says of runs."""
    before, _, rest = page.partition('<section id="runs">')
    runs, _, after = rest.partition("</section>")
    return before, runs, after


def pack_row(number: int, length: int = 8192) -> dict[str, Any]:
    """A synthetic pack of eight documents of which each has an image of 400 tokens."""
    modality = np.zeros(length, np.int8)
    edges = np.linspace(0, length - number % 97, 9).astype(int)
    modality[edges[-1] :] = Modality.PADDING
    for start in edges[:-1]:
        modality[start + 100 : start + 500] = Modality.IMAGE
    spans = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    samples = [{"start": start, "length": end - start} for start, end in spans]
    views = [{"sample": i, "image": 0} for i in range(8)]
    return {"pack_id": f"0123456789abcdef-{number:06d}", "modality": modality, "samples": samples, "views": views}


def test_no_text_of_the_data_becomes_markup(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"img", "iframe", "object", "embed", "form", "base", "b onmouseover"}
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    texts = [p["text"] for p in page.data["whole"][0]["documents"][0]["content"] if "text" in p]
    assert HOSTILE in texts[0]
    assert page.data["whole"][0]["documents"][0]["name"].startswith(f"hostile-000000.tar/{KEY}")


def test_the_policy_lets_the_pages_own_script_and_style_run_and_asks_no_network(page: Page) -> None:
    for kind, text in (("script", "".join(page.raw["script"][1:])), ("style", "".join(page.raw["style"]))):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy(page)
    assert policy(page).startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy(page)
    addresses = [a[name] for _, a in page.elements for name in ("src", "href") if a.get(name)]
    assert all(address.startswith(("#", "data:")) for address in addresses if address)


def test_a_whole_pack_has_text_mask_positions_images_views_and_maps(page: Page) -> None:
    assert len(page.data["whole"]) == 3 <= len(page.data["bars"])
    pack = page.data["whole"][0]
    assert sum(pack["mask"]) == 1024
    document = pack["documents"][0]
    assert document["trained"] <= document["length"]
    assert [least for least, _ in document["positions"]] == [0, 0, 0]
    (image,) = [piece for piece in document["content"] if "image" in piece]
    assert image["src"].startswith("data:image/webp;base64,")
    assert image["member"].endswith(".0.png")
    assert sum(view["tokens"] for view in image["views"]) == image["tokens"]
    assert len(image["relevance"]["combined"]) == image["relevance"]["rows"] * image["relevance"]["cols"]


def test_rejects_are_told_with_shard_member_and_offset(output: Path) -> None:
    found = collect(open_output(str(output)), 0)["rejects"]
    assert sum(entry["amount"] for entry in found if entry["level"] == "sample") == 2
    assert found[0]["level"] == "sample"
    example = found[0]["examples"][0]
    assert example["shard"] == "hostile-000000.tar"
    assert example["member"].startswith(KEY)
    shown = (output / "report.html").read_text("utf-8")
    assert f"{example['offset']:,}" in shown
    assert "&lt;b onmouseover=" in shown


def test_a_version_has_one_page_but_for_its_runs(output: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("a.html", "b.html"))
    copied = tmp_path / "copied"
    shutil.copytree(output, copied)
    write_report(str(output), str(first), num_whole=3)
    write_report(str(copied), str(second), num_whole=3)
    assert first.read_bytes() == second.read_bytes()
    shutil.rmtree(copied / "runs")
    (copied / "runs").mkdir()
    record = {"tokenizer": open_output(str(output)).newest_run()["tokenizer"], "outcome": {"failure": HOSTILE}}
    (copied / "runs" / "20000101T000000.000000-1.json").write_text(json.dumps(record))
    write_report(str(copied), str(second), num_whole=3)
    before, runs, after = zip(*(parted(path.read_text("utf-8")) for path in (first, second)), strict=True)
    assert before[0] == before[1]
    assert runs[0] != runs[1]
    assert "<script" not in runs[1]
    assert after[0] == after[1]


def test_ten_thousand_packs_are_under_four_megabytes_and_quick_to_make(output: Path) -> None:
    content = collect(open_output(str(output)), 1)
    rows = [pack_row(number) for number in range(100)]
    began = time.monotonic()
    bars = [bar(number, rows[number % len(rows)]) for number in range(NUM_MANY)]
    page = render(content | {"bars": bars, "num_packs": NUM_MANY, "histograms": list(pack_histograms(bars))})
    assert time.monotonic() - began < 60  # 4 s on a core that has nothing else to do
    assert len(page) < 4 << 20
    assert len(Page(page).data["bars"]) == NUM_MANY


def test_a_bar_tells_what_most_tokens_of_each_stretch_are() -> None:
    row = pack_row(5)
    pack_id, cells, lengths, images, *tokens = bar(5, row)
    assert (pack_id, images, len(cells)) == (row["pack_id"], 8, CELLS)
    assert sum(tokens) == 8192
    assert sum(lengths) == 8192 - tokens[-1]
    assert cells[:2] == "00"
    assert cells[6] == str(Modality.IMAGE)
    short = {"pack_id": "x", "modality": np.array([0, 1, 5], np.int8), "samples": [], "views": []}
    assert bar(0, short)[1] == "015"


def test_histograms_count_every_value_once() -> None:
    found = histogram("t", "u", {0: 3, 7: 2, 5000: 1})
    assert sum(amount for *_, amount in found["columns"]) == 6
    assert len(found["columns"]) <= MAX_COLUMNS
    assert all(most + 1 == least for (_, most, _), (least, _, _) in pairwise(found["columns"]))
    assert histogram("t", "u", {})["columns"] == []
    fill, share = pack_histograms([["x", "", [], 0, 50, 50, 0, 0], ["y", "", [], 0, 0, 0, 0, 10]])
    assert [column[-1] for column in fill["columns"]] == [1, *18 * [0], 1]
    assert sum(column[-1] for column in share["columns"]) == 2


def test_the_mask_is_the_lengths_of_its_runs() -> None:
    assert run_lengths(np.array([True, True, False])) == [0, 2, 1]
    assert run_lengths(np.array([False, True])) == [1, 1]


def test_a_picture_shows_its_views_and_no_damaged_ones() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (250, 0, 0)).save(stream, "PNG")
    view = {**VIEW_FIELDS, "pixels": {"data": stream.getvalue(), "format": "png"}}
    address, shown = put_together([view], (128, 48))
    assert address
    assert shown == (128, 48)
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        assert picture.size == (128, 48)
        left, right = picture.getpixel((20, 20)), picture.getpixel((110, 20))
    assert np.allclose(left, (250, 0, 0), atol=12)
    assert np.allclose(right, BLANK, atol=12)
    assert put_together([view | {"width": 63}], (64, 48)) == (None, (64, 48))
    assert put_together([view | {"pixels": {"data": b"RIFF", "format": "webp"}}], (64, 48)) == (None, (64, 48))
    assert put_together([view | {"pixels": None}], (64, 48)) == (None, (64, 48))


def test_tiles_stand_side_by_side_with_their_margins() -> None:
    tiles = [VIEW_FIELDS | {"kind": "tile", "col": column, "pixels": None} for column in range(3)]
    whole = VIEW_FIELDS | {"kind": "whole", "pixels": None}
    assert put_together([whole, *tiles], (100, 10))[1] == (192, 48)
    assert put_together([whole], (100, 10))[1] == (64, 48)


def test_template_style_and_script_are_files_of_the_package() -> None:
    assert all(files("jobs.report").joinpath(name).is_file() for name in (TEMPLATE, STYLE, SCRIPT))


def test_wrong_calls_end_in_one_line(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in (str(tmp_path), str(tmp_path / "page.txt"), "s3://bucket/page.html"):
        with pytest.raises(ConfigError, match="is expected, such as report"):
            write_report(str(output), target, num_whole=1)
    monkeypatch.setattr(sys, "argv", ["lodepack", "report", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.startswith("error: there is nothing at")


def test_json_says_what_was_written(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "page.html"
    command = ["lodepack", "report", str(output), "--output", str(target), "--packs", "1", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="0"):
        main()
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == target.stat().st_size
    assert (told["num_whole"], told["num_drawn"]) == (1, told["num_packs"])
    assert storage.list_names(str(target.parent)) == ["page.html"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no chromium on this machine")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("width", [1400, 1000, 420])
def test_tens_of_billions_of_tokens_fit_their_tiles(output: Path, browser: Any, tmp_path: Path, width: int) -> None:
    content = collect(open_output(str(output)), 0)
    many = {"tokens": 98_765_432_109, "visual": 43_210_987_654, "trained": 90_000_000_000}
    samples = content["totals"]["samples"] | {"packed": 1_200_000_000, "repeated": 1_000_000_000}
    totals = content["totals"] | {"tokens": content["totals"]["tokens"] | many, "samples": samples}
    (tmp_path / "page.html").write_bytes(render(content | {"totals": totals}))
    shown = browser.new_page(viewport={"width": width, "height": 900})
    shown.goto((tmp_path / "page.html").as_uri())
    assert "98,765,432,109" in shown.locator(".tiles").inner_text()
    assert "8 read, 1,000,000,000 repeated" in shown.locator(".tiles").inner_text()
    assert shown.evaluate("[...document.querySelectorAll('.tile dd')].every(e => e.scrollWidth <= e.clientWidth)")


@pytest.mark.parametrize("width", [1400, 420])
def test_a_browser_shows_packs_by_key_and_click_without_an_error(output: Path, browser: Any, width: int) -> None:
    write_report(str(output), None, num_whole=2)
    told: list[str] = []
    asked: list[str] = []
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark")
    shown.on("console", lambda message: told.append(message.text))
    shown.on("pageerror", lambda error: told.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    shown.goto((output / "report.html").as_uri())
    assert shown.title().startswith("lodepack report")
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.locator("#detail h3").inner_text().startswith("Pack 0")
    shown.focus("#list")
    shown.keyboard.press("ArrowDown")
    assert shown.locator("#active").text_content().startswith("Pack 1,")
    assert HOSTILE[:40] in shown.locator("#detail").inner_text()
    shown.keyboard.press("End")
    assert "lodepack inspect" in shown.locator("#detail").inner_text()
    shown.keyboard.press("Home")
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "detail"
    shown.locator("#list").click(position={"x": 200, "y": 30})
    assert shown.locator("#detail h3").inner_text().startswith("Pack 1")
    assert shown.locator("#tip").is_visible()
    shown.click("#by-modality")
    assert shown.get_attribute("#by-modality", "aria-pressed") == "true"
    before = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    shown.click("#theme")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert told == []
    assert set(asked) <= {"file", "data"}
