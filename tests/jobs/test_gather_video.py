"""`lodepack gather --format video`: frames by each rule, with their times, in strict shards that build and verify."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from jobs.cli import app
from jobs.gather.video import Choice, read_frames
from jobs.verify import verify
from operators.reduction.frames import qwen_frames
from pipeline.errors import ConfigError, InputError
from tests.support import build

av = pytest.importorskip("av", reason="PyAV, of the dev extra, is not installed")
SIZE = (96, 64)


def write_video(path, times, codec="libx264", rate=25):
    """A video whose frame of number n is a grey of 2 n + 20 over a gradient, shown at times[n] of 1/rate seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = Fraction(1, rate)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_image(Image.fromarray(drawn(number)))
            frame.pts, frame.time_base = time, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def drawn(number):
    slope = np.arange(SIZE[0])[None, :, None] // 2 + np.zeros((SIZE[1], 1, 3), int)
    return (slope + 20 + 2 * number).astype(np.uint8)


def shown(data):
    """The number of the frame that a picture is of."""
    grey = np.asarray(Image.open(io.BytesIO(data)).convert("L"), float).mean()
    return round((grey - drawn(0).mean()) / 2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "even.mp4", range(75))
    write_video(folder / "uneven.mp4", [0, 5, 10, 30, 31, 32, 80, 81, 110], "mpeg4")
    (folder / "broken.mp4").write_bytes((folder / "even.mp4").read_bytes()[:600])
    (folder / "noise.mp4").write_bytes(bytes(4000))
    return folder


def call(folder, records, *more):
    source = folder / "clips.jsonl"
    source.write_text("".join(f"{json.dumps(one)}\n" for one in records))
    arguments = [source, "--format", "video", "--output", folder / "out", "--json", *more]
    result = CliRunner().invoke(app, ["gather", *map(str, arguments)])
    return result, json.loads(result.stdout) if result.stdout.startswith("{") else None


def members_of(shard):
    with tarfile.open(shard) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive.getmembers()}


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (Choice("qwen"), qwen_frames(75, 25.0)),
        (Choice("qwen", fps=4.0), qwen_frames(75, 25.0, 4.0)),
        (Choice("dynamic_vlm"), [0, 25, 50]),
        (Choice("dynamic_vlm", most=2), [0, 50]),
    ],
)
def test_frames_are_those_of_the_rule_also_where_the_codec_reorders_them(choice, numbers, clips):
    found = read_frames(clips / "even.mp4", choice)
    assert [frame.number for frame in found] == numbers
    assert [shown(frame.data) for frame in found] == numbers
    assert [frame.seconds for frame in found] == pytest.approx([number / 25 for number in numbers])
    assert Image.open(io.BytesIO(found[0].data)).size == SIZE


def test_seconds_count_where_frames_are_uneven(clips):
    found = read_frames(clips / "uneven.mp4", Choice("dynamic_vlm"))
    assert [frame.number for frame in found] == [0, 3, 6, 8]
    assert [shown(frame.data) for frame in found] == [0, 3, 6, 8]
    assert [frame.seconds for frame in found] == pytest.approx([0, 1.2, 3.2, 4.4])


@pytest.mark.parametrize("name", ["broken.mp4", "noise.mp4"])
def test_what_is_no_video_is_an_error_in_one_line(name, clips):
    with pytest.raises(InputError) as caught:
        read_frames(clips / name, Choice())
    assert "\n" not in caught.value.detail


def test_videos_become_frames_with_their_times_that_build_and_verify(clips, tmp_path):
    records = [{"video": "even.mp4", "caption": "It grows brighter."}, {"video": "uneven.mp4", "caption": "It jumps."}]
    result, done = call(tmp_path, records, "--images", clips, "--frames", "dynamic_vlm")
    assert result.exit_code == 0, result.output
    assert (done["documents"], done["images"], done["invalid"], done["missing"]) == (2, 7, 0, 0)
    members = members_of(tmp_path / "out/clips-000000.tar")
    index = json.loads(members["000000001.json"])
    assert index["timestamps"] == [0, 1.2, 3.2, 4.4]
    assert index["frame_numbers"] == [0, 3, 6, 8]
    assert index["caption"] == "It jumps."
    pictures = {name: shown(data) for name, data in members.items() if name.startswith("000000000.0")}
    assert list(pictures.values()) == [0, 25, 50]
    assert {name.rpartition(".")[0] for name in pictures} == {"000000000.000", "000000000.001", "000000000.002"}
    fields = ("input.format=auto", "score=null", "budget=none", "pixels=source")
    summary = build(tmp_path / "built", f"{tmp_path}/out/*.tar", *fields)
    assert summary["totals"]["samples"]["packed"] == 2
    assert verify(str(tmp_path / "built")).findings == []


def test_frames_behind_their_seconds_are_interleaved_documents(clips, tmp_path):
    result, _ = call(tmp_path, [{"video": "uneven.mp4", "caption": "A ramp."}], "--images", clips, "--stamps")
    assert result.exit_code == 0, result.output
    (shard,) = (tmp_path / "out").glob("*.tar")
    members = members_of(shard)
    told = json.loads(members["000000000.json"])
    shown_texts = [text for text in told["texts"] if text is not None]
    assert shown_texts[0] == f"{int(told['timestamps'][0])}s: "
    assert shown_texts[1] == f"; {int(told['timestamps'][1])}s: "
    assert shown_texts[-1] == "; \nA ramp."
    assert all(f"000000000.{image}" in members for image in told["images"] if image is not None)
    summary = build(tmp_path / "packs", str(shard), "budget=none", "score=none")
    assert summary["totals"]["segments"]["packed"] == len(told["texts"])


def test_records_that_are_no_document_are_told_and_left_out(clips, tmp_path):
    records = [
        {"video": "gone.mp4", "caption": "a"},
        {"video": "../clips.jsonl", "caption": "a"},
        {"video": "noise.mp4", "caption": "a"},
        {"video": "uneven.mp4"},
        {"caption": "a"},
        ["video"],
        {"video": "uneven.mp4", "caption": "a"},
    ]
    result, done = call(tmp_path, records, "--images", clips)
    assert result.exit_code == 1
    assert (done["documents"], done["missing"], done["invalid"]) == (1, 3, 3)
    assert "names the video 'gone.mp4': No such file or directory" in done["faults"][0]
    assert "whose extension is none of a video" in done["faults"][1]
    assert "no caption" in done["faults"][3]


def test_the_same_videos_give_the_same_bytes(clips, tmp_path):
    hashes = set()
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        call(tmp_path / run, [{"video": "even.mp4", "caption": "a"}], "--images", clips)
        hashes.add(hashlib.sha256((tmp_path / run / "out/clips-000000.tar").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_without_pyav_the_call_says_what_to_install(clips, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    result, _ = call(tmp_path, [], "--images", clips)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).endswith("pip install 'lodepack[video]'")
    assert "\n" not in str(result.exception)


def test_an_unknown_rule_is_refused(clips, tmp_path):
    result, _ = call(tmp_path, [], "--images", clips, "--frames", "all")
    assert "--frames all: choose qwen, dynamic_vlm" in str(result.exception)
