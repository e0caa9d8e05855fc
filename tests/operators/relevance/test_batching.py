"""Batches keep one padded shape, and memory that runs out halves it without losing or repeating a row."""

import pytest
import torch

from operators.relevance.batching import in_batches, padded


def doubler(limit, seen):
    """Stands for a model that has memory for `limit` rows."""

    def run(rows, size):
        seen.append((rows.start, rows.stop, size))
        if size > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.arange(rows.start, rows.stop) * 2

    return run


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 40])
@pytest.mark.parametrize("limit", [1, 3, 8, 100])
def test_every_row_comes_once_and_in_order_whatever_fits(count, limit):
    seen = []
    found, size = in_batches(count, 8, doubler(limit, seen))
    assert [int(value) for part in found for value in part] == [2 * i for i in range(count)]
    assert size == (8 if not count or limit >= 8 else 2 if limit == 3 else 1)
    assert sum(size > limit for _, _, size in seen) == (0 if not count else {1: 3, 3: 2}.get(limit, 0))


def test_a_halved_batch_stays_halved_and_goes_on_where_it_was():
    seen = []
    in_batches(10, 4, doubler(2, seen))
    assert seen == [(0, 4, 4), (0, 2, 2), (2, 4, 2), (4, 6, 2), (6, 8, 2), (8, 10, 2)]


def test_where_not_even_one_row_fits_the_error_goes_on():
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(3, 4, doubler(0, []))


def test_padding_is_zeros_and_a_copy():
    rows = torch.arange(6, dtype=torch.uint8).reshape(3, 2).numpy()
    full = padded(rows, 5)
    assert full.tolist() == [[0, 1], [2, 3], [4, 5], [0, 0], [0, 0]]
    full[0] = 9
    assert rows[0].tolist() == [0, 1]
