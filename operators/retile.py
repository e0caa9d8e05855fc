"""Plans each picture of a sample anew with as many tiles as it is worth, in a family that cuts pictures into tiles.

Tiles of a family have one size, so relevance decides how many there are: a picture of fewer is what the family makes of
it when its config allows no more, whole view and marks included. Sizes and stored maps are all that is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from operators.budget import BudgetConfig, climb, tiles_worth
from operators.slicing import Tiled
from operators.tokenize import lay_runs
from operators.tokenizers import Tokenizer
from pipeline.errors import InputError
from pipeline.operator import Row
from pipeline.schema import PLAN, RUN
from pipeline.types import Place, SlicePlan, View


@dataclass(frozen=True, slots=True)
class _Image:
    """One image with what it may become."""

    own: SlicePlan
    """The family's own plan."""
    values: Sequence[int]
    """Combined relevance of each of its views, 0..255."""
    ladder: Sequence[SlicePlan]
    """Plans of rising placeholders, one at least."""

    @property
    def relevance(self) -> int:
        """Mean of its tiles, or of the whole where it has none, rounded down."""
        values = _of_tiles(self.own, self.values) or self.values
        return sum(values) // len(values)

    def within(self, most: int) -> SlicePlan:
        """The largest plan of at most so many placeholders, or the smallest."""
        return next((plan for plan in reversed(self.ladder) if plan.placeholders <= most), self.ladder[0])


class Retile:
    """Gives each image of a sample the tiles that its budget allows, the fewest of its family at least."""

    def __init__(self, slicing: Tiled, tokens: Mapping[str, str], tokenizer: Tokenizer, budget: BudgetConfig) -> None:
        """tokens: literals of the family's marks by role."""
        self._slicing, self._tokens, self._tokenizer = slicing, tokens, tokenizer
        self._budget = budget

    def __call__(self, plans: Sequence[Row], relevances: Sequence[Row]) -> tuple[list[Row], list[list[Row]]]:
        """PLAN and RUN rows of each image of a sample.

        plans: PLAN rows of all images of the document, of which the sizes and the number count. relevances: RELEVANCE
        rows, whose combined maps have a value for each view of the family's own plan.
        """
        images = [
            self._image((plan["width"], plan["height"]), found, Place(number, len(plans)))
            for number, (plan, found) in enumerate(zip(plans, relevances, strict=True))
        ]
        chosen = self._chosen(images)
        rows = [_row(plan, image) for plan, image in zip(chosen, images, strict=True)]
        return rows, [self._runs(plan) for plan in chosen]

    def _image(self, size: tuple[int, int], relevance: Row, place: Place) -> _Image:
        own = self._slicing.plan(*size, self._tokens, place)
        tiles = _of_tiles(own, relevance["combined"])
        most = len(tiles)
        if self._budget.rule != "global":
            most = tiles_worth(tiles, self._budget, is_seeking=relevance["query"]["is_seeking"])
        ladder: list[SlicePlan] = []
        for plan in self._plans(own, len(tiles), most, place):
            if not ladder or plan.placeholders < ladder[-1].placeholders:
                ladder.append(plan)
            if self._budget.sample_tokens is None and plan.placeholders <= self._budget.image_limit(own.placeholders):
                break  # nobody asks for a smaller one, and the 16 of Idefics3 take 3 ms
        return _Image(own, relevance["combined"], ladder[::-1])

    def _plans(self, own: SlicePlan, num_tiles: int, most: int, place: Place) -> Iterator[SlicePlan]:
        """Of at most `most` tiles, of one less, and so on down to one. Never none.

        A picture that is too thin for so few tiles (InputError) has the fewest that it is not too thin for.
        """
        is_any = most >= num_tiles
        if is_any:
            yield own
        for tiles in range(min(most, num_tiles - 1), 0, -1):
            try:
                plan = self._slicing.at_most(tiles).plan(own.width, own.height, self._tokens, place)
            except InputError:
                continue
            is_any = True
            yield plan
        if not is_any:
            yield from self._plans(own, num_tiles, most + 1, place)

    def _chosen(self, images: Sequence[_Image]) -> list[SlicePlan]:
        total = self._budget.sample_tokens
        if total is None:
            return [image.within(self._budget.image_limit(image.own.placeholders)) for image in images]
        ladders = [[plan.placeholders for plan in image.ladder] for image in images]
        steps = climb([image.relevance for image in images], ladders, total)
        return [image.within(step) for image, step in zip(images, steps, strict=True)]

    def _runs(self, plan: SlicePlan) -> list[Row]:
        laid = lay_runs([asdict(run) for run in plan.layout], self._tokenizer)
        return [{field.name: int(run[field.name]) for field in RUN} for run in laid]


def _of_tiles(plan: SlicePlan, values: Sequence[int]) -> list[int]:
    return [value for view, value in zip(plan.views, values, strict=True) if view.kind == "tile"]


def _row(plan: SlicePlan, image: _Image) -> Row:
    """The PLAN row, each view with its tokens as its budget, and with the relevance of what stood in its place."""
    views = tuple(replace(view, budget=view.tokens, relevance=_relevance(view, image)) for view in plan.views)
    row = asdict(replace(plan, views=views))
    return {field.name: row[field.name] for field in PLAN}


def _relevance(view: View, image: _Image) -> int:
    """Of the own view of the whole for a view of the whole; otherwise of the own tile that holds its centre."""
    pairs = list(zip(image.own.views, image.values, strict=True))
    for own, value in pairs:
        if own.kind == view.kind == "whole":
            return value
    left, top, right, bottom = view.box
    # A tile of padding alone has an empty box, which may lie on the picture's far border.
    x, y = min((left + right) // 2, image.own.width - 1), min((top + bottom) // 2, image.own.height - 1)
    return next(
        value
        for own, value in pairs
        if own.kind == "tile" and own.box[0] <= x < own.box[2] and own.box[1] <= y < own.box[3]
    )
