"""What methods need of each visual token beside its place: scores, salience and features, in the sequence's order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from PIL import Image

from operators.reduction.features import Boxes, salience, texture, token_boxes
from operators.reduction.grids import visual_views
from operators.reduction.method import Need
from operators.reduction.plan import Ints
from operators.reduction.scores import CELLS, cell_scores, ranked, spread, token_scores
from operators.reduction.supplied import Given
from operators.relevance.participatory import DualEncoder
from operators.threads import one_thread
from pipeline.errors import InputError, Reason
from pipeline.operator import Row


@dataclass(frozen=True, slots=True)
class Looks:
    """Fills the needs of a job's methods."""

    needs: Collection[Need]
    encoder: DualEncoder | None = None
    """Of the participatory map, where there is one: a picture of one region is ranked by cells of its own."""
    given: Given | None = None
    """Scores of the user's, which take the place of ours."""

    def __call__(self, row: Row, number: int, relevance: Row | None) -> dict[Need, Ints]:
        """The needs of image `number` of a row, int64 [n] or [n, d]. InputError where no scores were given for it.

        relevance: what `score` found of it, if it did.
        """
        plan, found = row["plans"][number], dict[Need, Ints]()
        of_token = visual_views(row["runs"][number])
        if "scores" in self.needs and self.given is not None:
            found["scores"] = self._given(row["key"], number, len(of_token))
        if set(self.needs) <= found.keys():
            return found
        # Boxes come view by view; tiles that are stitched stand among each other in the sequence.
        boxes = np.empty((len(of_token), 4))
        boxes[np.argsort(of_token, kind="stable")] = token_boxes(plan)
        grey, colour = _small(row["smalls"][number])
        stands_out = salience(grey, colour, boxes)
        if "salience" in self.needs:
            found["salience"] = stands_out
        if "features" in self.needs:
            found["features"] = texture(grey, colour, boxes)
        if "scores" in self.needs and "scores" not in found and relevance is not None:
            text = row["queries"][number]["text"]
            found["scores"] = self._scores(plan, text, relevance, boxes, colour, stands_out)
        return found

    def _scores(
        self, plan: Row, text: str | None, relevance: Row, boxes: Boxes, colour: np.ndarray, stands_out: Ints
    ) -> Ints:
        if self.encoder is not None and text and len(relevance["combined"]) == 1:
            with one_thread():
                (cells,) = cell_scores(self.encoder, Image.fromarray(colour), [text], CELLS)
            return ranked(spread(cells, CELLS, boxes), stands_out)
        return token_scores(plan, relevance, boxes, stands_out)

    def _given(self, key: str, number: int, num_tokens: int) -> Ints:
        scores = (self.given or {}).get((key, number))
        if scores is None or len(scores) != num_tokens:
            held = "none" if scores is None else str(len(scores))
            raise InputError(Reason.REDUCTION_SCORES, f"the file of scores has {held} for it; {num_tokens} expected")
        return scores.astype(np.int64)


def _small(small: Row) -> tuple[np.ndarray, np.ndarray]:
    """Luminance [h, w] and colours [h', w', 3], both uint8."""
    grey = np.frombuffer(small["grey"], np.uint8).reshape(small["height"], small["width"])
    shape = (small["colour_height"], small["colour_width"], 3)
    return grey, np.frombuffer(small["colour"], np.uint8).reshape(shape)
