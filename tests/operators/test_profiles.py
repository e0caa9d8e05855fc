"""A profile's mistakes are told in its own words, before any work."""

import pytest
import yaml

from operators.profiles import load_profile, profile_names
from pipeline.errors import ConfigError

SOUND = {
    "about": "one of ours",
    "slicing": {"scheme": "internvl"},
    "positions": {"rule": "1d"},
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "tokens": {"placeholder": "<p>", "document_end": "</s>", "padding": "<pad>"},
}


def loaded(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SOUND | changes))
    return load_profile(str(path))


def test_a_profile_of_ones_own_is_named_after_its_file(tmp_path):
    assert loaded(tmp_path).name == "mine"


@pytest.mark.parametrize("name", profile_names())
def test_labels_of_every_profile_are_all_reserved_or_all_text(name):
    tokens = load_profile(name).tokens
    label = tokens.tile_label.format(row=1, col=1) if tokens.tile_label else None
    assert (label in tokens.literals()) == bool(tokens.label_side)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": SOUND["tokens"] | {"padding": "<p>"}}, "padding is the placeholder"),
        ({"tokens": SOUND["tokens"] | {"image_start": "<p>"}}, "image_start is the placeholder"),
        ({"tokens": SOUND["tokens"] | {"others": ["<p>"]}}, "others is the placeholder"),
        ({"tokens": SOUND["tokens"] | {"others": [""]}}, "others is empty"),
        ({"tokens": SOUND["tokens"] | {"tile_label": "{foo}", "label_side": 2}}, "has more than {row} and {col}"),
        ({"tokens": SOUND["tokens"] | {"tile_label": "x{}"}}, "has more than {row} and {col}"),
        ({"tokens": SOUND["tokens"] | {"tile_label": "x"}}, "has neither {row} nor {col}"),
        ({"std": [0, 0.5, 0.5]}, "std.0: Input should be greater than 0"),
        ({"reserved_ids": {"<p>": 7, "</s>": 7}}, "two tokens have one id"),
        ({"slicing": {"scheme": "mine"}}, "does not match any of the expected tags"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_told_with_its_field(tmp_path, changes, message):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "\udcff"])
def test_a_file_that_is_no_profile_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_profile(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no profile at .*gone\.yaml"):
        load_profile(str(tmp_path / "gone.yaml"))
