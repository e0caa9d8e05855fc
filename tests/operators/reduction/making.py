"""Every method with settings that small grids allow, and tokens that have what any of them needs."""

from __future__ import annotations

import numpy as np
from pydantic import TypeAdapter

from operators.reduction import AnyMethod
from operators.reduction.plan import ImageTokens

SETTINGS = {
    "wico": {},
    "wico_plus": {},
    "hires_restore": {},
    "self_mining": {"region": 2},
    "tokenflex": {"probabilities": {1: 0.5, 4: 0.5}},
    "tokenflex_by_scores": {"counts": [1, 4]},
    "frame_pool": {"most": 7},
    "rank": {"schedule": [[2, 0.5], [5, 1]]},
    "sparsevlm": {},
    "mustdrop": {"global_threshold": 0.04, "individual_threshold": 0.04},
    "mustdrop_merge": {"window": 2, "threshold": 0.5},
    "visionzip": {"of": 24, "dominant": 6, "contextual": 4},
    "tome": {"merges": 1, "layers": 3},
    "prumerge": {},
    "dyrate": {},
}
ADAPTER = TypeAdapter(AnyMethod)


def method(name, **settings):
    return ADAPTER.validate_python({"method": name} | SETTINGS[name] | settings)


def tokens(seed=0, grids=((4, 4), (2, 2), (2, 2)), kinds=("whole", "tile", "tile")):
    """Of a whole view and two slices beside each other."""
    rng = np.random.default_rng(seed)
    count = sum(rows * cols for rows, cols in grids)
    places = tuple((0, kinds[:number].count(kind)) for number, kind in enumerate(kinds))
    return ImageTokens(
        grids,
        kinds,
        places,
        scores=rng.integers(0, 50, count),
        salience=rng.integers(0, 50, count) ** 2,
        features=rng.integers(-9, 99, (count, 5)),
        identity="s.tar/k#0/0",
        document="s.tar/k#0",
    )
