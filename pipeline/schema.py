"""The Arrow schemas of every arrow between operators, and of the three kinds of file in the output.

One row is one sample. Each operator appends its column and drops what nobody after it needs, so a sample that
reaches `pack` is a few kilobytes without a pixel. A row whose `rejection` is set carries empty lists from there on.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 6
"""Raised when a column of the output changes its name, type or meaning."""


def _struct(**fields: pa.DataType) -> pa.StructType:
    return pa.struct(list(fields.items()))


REJECTION = _struct(
    operator=pa.string(),
    reason=pa.string(),
    detail=pa.string(),
    member=pa.string(),
    offset=pa.int64(),
    size=pa.int64(),
    segment=pa.int32(),
    rules=pa.list_(pa.string()),
)
DROPPED = _struct(
    segment=pa.int32(),
    member=pa.string(),
    offset=pa.int64(),
    size=pa.int64(),
    reason=pa.string(),
    detail=pa.string(),
    rules=pa.list_(pa.string()),
)
"""A segment that a filter took out of its document: its number there, its place, and every rule that it breaks."""
SEGMENT = _struct(
    number=pa.int32(),
    kind=pa.int8(),
    text=pa.large_string(),
    member=pa.string(),
    offset=pa.int64(),
    size=pa.int64(),
    encoding=pa.string(),
    role=pa.string(),
    turn=pa.int32(),
    similarity=pa.float64(),
)
"""number: of the segment in its document as it was read, whatever was dropped since and wherever pictures stand."""
SHARD_END = _struct(rows=pa.int64(), sha256=pa.string(), bytes=pa.int64(), ignored=pa.int64())
"""What a shard's last row carries: its number of samples, its content hash, and members that no format asked for."""

PICTURE = _struct(width=pa.int32(), height=pa.int32(), format=pa.string(), digest=pa.binary(16))
"""digest: of the encoded bytes."""
DECODED_PICTURE = _struct(
    **{field.name: field.type for field in PICTURE},
    copy=_struct(rgb=pa.large_binary(), width=pa.int32(), height=pa.int32()),
    codes=_struct(rows=pa.int32(), cols=pa.int32(), ids=pa.list_(pa.int32())),
)
"""A picture that is to be written as ids has a `copy` from `decode` to `discretise`, uint8 [height, width, 3] at the
size at which it is coded, and from there to `tokenize` its `codes`; others have neither."""
SMALL = _struct(
    grey=pa.large_binary(),
    width=pa.int32(),
    height=pa.int32(),
    colour=pa.large_binary(),
    colour_width=pa.int32(),
    colour_height=pa.int32(),
)
"""What scoring reads of a picture: its luminance, uint8 [height, width], and a smaller RGB copy, uint8
[colour_height, colour_width, 3]."""

VIEW = _struct(
    kind=pa.string(),
    row=pa.int16(),
    col=pa.int16(),
    box=pa.list_(pa.int32()),
    height=pa.int32(),
    width=pa.int32(),
    grid_t=pa.int32(),
    grid_h=pa.int32(),
    grid_w=pa.int32(),
    rows=pa.int32(),
    cols=pa.int32(),
    tokens=pa.int32(),
    cells=pa.list_(pa.int32()),
    budget=pa.int32(),
    relevance=pa.uint8(),
)
CANVAS = _struct(
    width=pa.int32(),
    height=pa.int32(),
    resized_width=pa.int32(),
    resized_height=pa.int32(),
    left=pa.int32(),
    top=pa.int32(),
    first_width=pa.int32(),
    first_height=pa.int32(),
    fill=pa.int32(),
    has_whole=pa.bool_(),
)
MARK = _struct(token=pa.string(), modality=pa.int8(), view=pa.int16(), count=pa.int32())
"""One run of an image's layout by name, from `slice` to `tokenize`."""
RUN = _struct(id=pa.int32(), modality=pa.int8(), view=pa.int16(), count=pa.int32())
"""The same run with its token id, from `tokenize` on."""
PLAN = _struct(
    scheme=pa.string(),
    width=pa.int32(),
    height=pa.int32(),
    grid_h=pa.int32(),
    grid_w=pa.int32(),
    canvas=CANVAS,
    resample=pa.string(),
    views=pa.list_(VIEW),
)
QUERY = _struct(text=pa.large_string(), origin=pa.string(), segments=pa.list_(pa.int32()))
"""What an image is asked, from `slice` to `score`: behind `tokenize` no row has its text."""
ASKED = _struct(origin=pa.string(), segments=pa.list_(pa.int32()), is_seeking=pa.bool_())
"""Where an image's query came from: `user`, `neighbours` or `none`; the numbers of its segments; and whether it counts
or locates."""
RELEVANCE = _struct(
    rows=pa.int16(),
    cols=pa.int16(),
    propositional=pa.list_(pa.uint8()),
    perspectival=pa.list_(pa.uint8()),
    participatory=pa.list_(pa.uint8()),
    weights=pa.list_(pa.int16()),
    combined=pa.list_(pa.uint8()),
    query=ASKED,
    legibility=pa.large_binary(),
)
"""Maps of one image, one value a region, row-major [rows, cols], 0..255; participatory is null where it has nothing to
say. weights: of the three, in thousandths. legibility: what is lost in each cell of the native grid at each of
operators.relevance.legibility.SCALES, a code of its LOSSES, uint8 [scales, grid_h, grid_w]; null where nobody asks."""

GRID = _struct(rows=pa.int16(), cols=pa.int16())
REDUCTION = _struct(
    methods=pa.list_(pa.string()),
    num_tokens=pa.int32(),
    num_kept=pa.int32(),
    grids=pa.list_(GRID),
    restore=pa.list_(pa.int32()),
    kept=pa.list_(pa.int32()),
    groups=pa.list_(pa.int32()),
    shares=pa.list_(pa.float32()),
    window=pa.list_(pa.list_(pa.int32())),
    pools=pa.list_(GRID),
    order=pa.list_(pa.int32()),
    schedule=pa.list_(_struct(layer=pa.int16(), tokens=pa.int32())),
    clusters=pa.list_(_struct(layer=pa.int16(), members=pa.list_(pa.int32()), groups=pa.list_(pa.int32()))),
    expand=_struct(layer=pa.int16(), tokens=pa.int32()),
    decay=pa.list_(_struct(answer_token=pa.int32(), tokens=pa.int32())),
)
"""What becomes of one image's visual tokens: the fields of operators.reduction.plan.Reduction; null: not asked for."""

ROW = pa.schema(
    [
        ("unit", pa.int32()),
        ("shard", pa.string()),
        ("shard_number", pa.int32()),
        ("ordinal", pa.int64()),
        ("key", pa.string()),
        ("segments", pa.list_(SEGMENT)),
        ("dropped", pa.list_(DROPPED)),
        ("num_derived", pa.int32()),
        ("withheld", pa.bool_()),
        ("rejection", REJECTION),
        ("shard_end", SHARD_END),
    ]
)
"""What every row carries through the whole chain. `ordinal` is the sample's place in its shard, from 0, or that of a
derived sample (pipeline.derived); `num_derived` says how many of these have been made of a sample. The row with
`shard_end` stands after the last sample and is none itself."""

PAYLOADS = pa.field("payloads", pa.list_(pa.large_binary()))
PICTURES = pa.field("pictures", pa.list_(PICTURE))
DECODED_PICTURES = pa.field("pictures", pa.list_(DECODED_PICTURE))
SMALLS = pa.field("smalls", pa.list_(SMALL))
PLANS = pa.field("plans", pa.list_(PLAN))
LAYOUTS = pa.field("layouts", pa.list_(pa.list_(MARK)))
TOKENS = pa.field("tokens", pa.list_(pa.list_(pa.int32())))
TRAINED = pa.field("trained", pa.list_(pa.list_(pa.bool_())))
RUNS = pa.field("runs", pa.list_(pa.list_(RUN)))
QUERIES = pa.field("queries", pa.list_(QUERY))
RELEVANCES = pa.field("relevances", pa.list_(RELEVANCE))
REDUCTIONS = pa.field("reductions", pa.list_(REDUCTION))

READ = ROW.append(PAYLOADS)
"""From `read`: encoded images, one payload per image segment, in order."""
DECODED = ROW.append(DECODED_PICTURES).append(SMALLS)
SLICED = DECODED.append(PLANS).append(LAYOUTS).append(QUERIES)
TOKENIZED = (
    ROW.append(PICTURES).append(SMALLS).append(PLANS).append(TOKENS).append(TRAINED).append(RUNS).append(QUERIES)
)
"""`tokens` has one list per segment (empty for images); `trained` says which of them a conversation trains, an empty
list means all; `runs` and `queries` have one entry per image."""
MEASURED = (
    ROW.append(PICTURES).append(PLANS).append(TOKENS).append(TRAINED).append(RUNS).append(RELEVANCES).append(REDUCTIONS)
)
"""What `pack` gathers. `relevances` has an entry for each image that has views; for none where nothing is scored.
`reductions` has one for every image, null where it has no views; or none where nothing is reduced."""
SCORED = MEASURED.append(SMALLS).append(QUERIES)
"""From `score` to `reduce`, which looks at pictures too."""

SAMPLE_ID = _struct(shard=pa.string(), key=pa.string(), ordinal=pa.int64())
PIXELS = _struct(data=pa.large_binary(), format=pa.string(), shard=pa.string(), offset=pa.int64(), size=pa.int64())
"""encoded: data and format (png, webp, jpeg); patches: data and format `patches`; source: shard, offset, size."""
PACK_SAMPLE = _struct(
    id=SAMPLE_ID, copy=pa.int32(), part=pa.int32(), num_parts=pa.int32(), start=pa.int32(), length=pa.int32()
)
"""copy: 0, or the number of a further copy, where the sample's source has a weight over 1."""
PACK_VIEW = _struct(
    sample=pa.int32(),
    image=pa.int32(),
    kind=pa.string(),
    box=pa.list_(pa.int32()),
    row=pa.int16(),
    col=pa.int16(),
    height=pa.int32(),
    width=pa.int32(),
    grid_t=pa.int32(),
    grid_h=pa.int32(),
    grid_w=pa.int32(),
    start=pa.int32(),
    tokens=pa.int32(),
    budget=pa.int32(),
    relevance=pa.uint8(),
    pixels=PIXELS,
)
PACK_PLAN = _struct(sample=pa.int32(), image=pa.int32(), reduction=REDUCTION)
"""What becomes of the visual tokens of one image of a pack."""


def pack_schema(
    *, fractional: bool = False, weighted: bool = False, aligned: bool = False, reduced: bool = False
) -> pa.Schema:
    """One row a pack; per-token lists are exactly `sequence_length` long.

    fractional: positions are float32 (V2PE); weighted: the column `loss_weights` is there; aligned: documents are
    padded to a multiple, and `cu_seqlens_unpadded` has their borders without that; reduced: `plans` is there.
    """
    position = pa.float32() if fractional else pa.int32()
    return pa.schema(
        [
            ("pack_id", pa.string()),
            ("input_ids", pa.list_(pa.int32())),
            ("labels", pa.list_(pa.int32())),
            *([("loss_weights", pa.list_(pa.float32()))] if weighted else []),
            ("position_ids", pa.list_(pa.list_(position))),
            ("segment_ids", pa.list_(pa.int32())),
            ("cu_seqlens", pa.list_(pa.int32())),
            *([("cu_seqlens_unpadded", pa.list_(pa.int32()))] if aligned else []),
            ("modality", pa.list_(pa.int8())),
            ("samples", pa.list_(PACK_SAMPLE)),
            ("views", pa.list_(PACK_VIEW)),
            *([("plans", pa.list_(PACK_PLAN))] if reduced else []),
        ]
    )


LENGTHS = _struct(tokens=pa.int32(), images=pa.int32(), patches=pa.int32(), tiles=pa.int32())
INDEX_SEGMENT = _struct(
    number=pa.int32(),
    kind=pa.int8(),
    member=pa.string(),
    offset=pa.int64(),
    size=pa.int64(),
    encoding=pa.string(),
    role=pa.string(),
    ids=pa.list_(pa.int32()),
    labels=pa.list_(pa.int32()),
    format=pa.string(),
    digest=pa.binary(16),
    plan=PLAN,
    runs=pa.list_(RUN),
    relevance=RELEVANCE,
    reduction=REDUCTION,
)
"""Text segments have ids and labels; image segments have their format, digest, plan, runs, relevance and reduction."""
INDEX = pa.schema(
    [
        ("id", SAMPLE_ID),
        ("lengths", LENGTHS),
        ("num_parts", pa.int32()),
        ("carried", pa.bool_()),
        ("segments", pa.list_(INDEX_SEGMENT)),
        ("dropped", pa.list_(DROPPED)),
    ]
)
"""One row per measured sample, in the order of shards and ordinals; `carried`: packed by the closing unit."""

REJECTS = pa.schema(
    [
        ("level", pa.string()),
        ("id", SAMPLE_ID),
        ("segment", pa.int32()),
        ("shard", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("operator", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("rules", pa.list_(pa.string())),
    ]
)
"""One row per rejected sample (level `sample`, segment null) and one per segment of it (level `segment`); and one per
segment that a filter dropped from a sample that goes on without it. rules: every rule of the filters that it breaks,
by their reasons; `reason` is the first of them."""
