"""From a job to the chain that a runner drives, and to the recipe that names everything that changes its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from jobs.discretising import discrete_ids, discrete_recipe, discretise_stages, found_codebook
from jobs.filtering import filter_stages
from jobs.inputs import sections_by_source, with_formats
from jobs.recipe import encoder_path, make_recipe
from jobs.reducing import SMALL, check_files, check_grids, looks_at_pictures, reduce_stages
from jobs.sections import PoolSection, computes_on
from jobs.sources import refuse_sidecars, settle_format
from jobs.spec import Job, absolute, resizes_with
from operators.budget import BudgetConfig
from operators.closing import close
from operators.decode import COARSE_PIXELS, FINE_PIXELS, Decode, Headers, Measure
from operators.derive import Derive
from operators.discrete.config import DiscreteConfig
from operators.discrete.layouts import DiscreteIds
from operators.drawing import Draw
from operators.fitting import Fitter, PackConfig
from operators.pack import Pack
from operators.pack_rows import WriteConfig
from operators.profiles import Profile, load_profile
from operators.relevance.located import identity_of, located
from operators.rendering import UNRENDERED
from operators.retile import Retile
from operators.slice import Slice
from operators.slicing import Tiled
from operators.slicing.qwen import QwenConfig
from operators.slicing.regions import MAX_REGIONS
from operators.tokenize import Tokenize
from operators.tokenizers import Tokenizer
from operators.tokenizers.opening import open_tokenizer
from operators.vocabulary import Vocabulary, resolve
from operators.weights import ScoreConfig
from operators.write import Write
from pipeline import storage
from pipeline.chain import Chain, Pool, Stage, read
from pipeline.closing import Carried, Closing
from pipeline.containers import TAR, container_of
from pipeline.errors import ConfigError, StorageError
from pipeline.formats import FORMATS
from pipeline.guard import Guard, Result, Task, TaskSpec
from pipeline.monitor import Beat
from pipeline.operator import Operator
from pipeline.types import Shard, Source, Unit
from pipeline.units import from_here, list_shards, recipe_hash, unit_recipe

PIXEL_BYTES = 24
"""Memory that a pixel takes at most while a picture is decoded and turned into RGB: 16-bit grey is the dearest."""
PICTURE_BYTES = 1 << 30
"""Memory for all else: code, encoded bytes, views."""
SMALL_BYTES, SMALL_SCORED_BYTES = 32 << 20, 4 << 20
"""Input that one process is done with as soon as two: another takes two seconds of a core to start, a megabyte of
photographs .07 s to draw, and .3 to 1.3 s to score."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A job with its files found: the profile, the shards, the tokenizer's special ids, and its recipe."""

    job: Job
    profile: Profile
    vocabulary: Vocabulary
    recipe: dict[str, Any]
    """What the units of all sources have in common."""
    inputs: tuple[tuple[Source, tuple[Shard, ...]], ...]
    """Each source with its shards, sorted by name."""
    recognised: dict[str, str]
    """Of each source whose format the job leaves to its shards, what was found and why, by label."""
    discrete: DiscreteIds | None = None
    """Ids that pictures are written in."""


def resolve_job(job: Job) -> Resolved:
    """Reads the tokenizer, lists the shards and computes the recipe.

    ConfigError names, a line each, what is wrong with the tokenizer and with every pattern of shards.
    """
    profile = load_profile(job.profile)
    mistakes: list[str] = []
    with _noted(mistakes):
        url = absolute(job.tokenizer)
        model = _read_tokenizer(url)
        tokenizer = _open_tokenizer(model, profile, url)
    inputs: list[tuple[Source, tuple[Shard, ...]]] = []
    recognised: dict[str, str] = {}
    for source, section in sections_by_source(job.input):
        with _noted(mistakes):
            shards = list_shards([absolute(pattern) for pattern in section.shards], source.name)
            _refuse_own_output(shards, absolute(job.output))
            refuse_sidecars(shards, source)
            name, why = settle_format(source, shards)
            if job.pixels == "source":
                _refuse_without_ranges(shards, name)
            inputs.append((source.with_format(name), tuple(shards)))
            recognised |= {} if why is None else {source.label: why}
            if name == "conversations" and profile.chat is None:
                raise ConfigError(f"profile {job.profile} has no chat template: choose another, for {why or name}")
    ids, discrete = None, None
    if job.discrete is not None:
        with _noted(mistakes):
            found = found_codebook(job.discrete)
            if not mistakes:
                ids = discrete_ids(job.discrete, found, tokenizer)
                discrete = discrete_recipe(job, found, ids)
    encoder = None
    if job.score is not None and job.score.participatory:
        with _noted(mistakes):
            encoder = identity_of(located(encoder_path(job.score)))
    with _noted(mistakes):
        check_files(job.reduce)
        check_grids(job.reduce, profile)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    job = job.model_copy(update={"input": with_formats(job.input, {one.label: one.format for one, _ in inputs})})
    recipe = make_recipe(job, profile, model, tokenizer) | {"encoder": encoder}
    if discrete is not None:
        recipe["discrete"] = discrete
    trains = job.discrete is not None and job.discrete.train
    vocabulary = resolve(profile, tokenizer, ids, trains_discrete=trains)
    return Resolved(job, profile, vocabulary, recipe, tuple(inputs), recognised, ids)


def _refuse_own_output(shards: Sequence[Shard], output: str) -> None:
    """ConfigError for a shard that a run would find changed, or write again, because it lies where the run writes."""
    for shard in shards:
        if f"{shard.url}/".startswith(f"{output.rstrip('/')}/"):
            raise ConfigError(f"{shard.url} lies in the output, {output}; choose an output that holds no shard")


def _refuse_without_ranges(shards: Sequence[Shard], form: str) -> None:
    """ConfigError for a shard in which a picture is no range of bytes that a loader could read."""
    for shard in shards:
        if container_of(shard.name) is not TAR or FORMATS[form].json_has_pictures:
            what = f"has its pictures in JSON ({form})" if container_of(shard.name) is TAR else "is no tar"
            raise ConfigError(
                f"pixels: source, and {shard.url} {what}; a place in it is no range of bytes that holds a picture: "
                "say pixels: encoded"
            )


@contextmanager
def _noted(mistakes: list[str]) -> Iterator[None]:
    """Keeps a ConfigError for later, so that the next check still runs."""
    try:
        yield
    except ConfigError as error:
        mistakes.append(str(error))


def build_chain(resolved: Resolved) -> Chain:
    """The chain of a resolved job. Its parts are small and can be sent to any node."""
    job, profile = resolved.job, resolved.profile
    resources = job.resources
    measuring = {
        "max_image_pixels": job.limits.max_image_pixels,
        "grey_pixels": _grey_pixels(job, profile),
        "check": job.check if job.pixels in {"source", "none"} else None,
        "layout": job.discrete.layout if job.discrete is not None else None,
    }
    stages = [
        Stage(
            "decode",
            partial(_decode, _guarded(Measure, measuring, job), job.discrete),
            _expanding(resources.decode, job),
        ),
        *discretise_stages(job, None if resources.discretise is None else _expanding(resources.discretise, job)),
        *filter_stages(
            job.filters,
            None if resources.filter is None else _expanding(resources.filter, job),
            computes_on(resources.filter),
            keeps_smalls=job.score is not None or looks_at_pictures(job.reduce),
        ),
        *([Stage("derive", partial(_same, Derive(job.derive)), None)] if job.derive else []),
        Stage(
            "slice",
            partial(_same, Slice(profile, MAX_REGIONS if job.budget else None, job.placement)),
            _pool(resources.slice),
        ),
        Stage(
            "tokenize",
            partial(_tokenize, absolute(job.tokenizer), profile, resolved.discrete),
            _pool(resources.tokenize),
        ),
    ]
    if job.score is not None:
        scoring = job.score.model_copy(update={"encoder": encoder_path(job.score)})
        device, keeps = computes_on(resources.score), looks_at_pictures(job.reduce)
        build = partial(_score, scoring, job.budget, profile, absolute(job.tokenizer), device, keeps_looks=keeps)
        stages.append(Stage("score", build, _pool(resources.score)))
    asks = job.score is not None and job.score.steps()[2] > 0
    encoder = (encoder_path(job.score) or SMALL) if job.score is not None and asks else None
    stages += reduce_stages(job.reduce, _pool(resources.reduce), encoder)
    config = WriteConfig(
        profile=profile,
        vocabulary=resolved.vocabulary,
        sequence_length=job.sequence_length,
        pixels=job.pixels,
        output=absolute(job.output),
        loss_weights=job.loss_weights,
        align=job.pack.align,
        is_reduced=bool(job.reduce),
    )
    slicing = profile.slicing
    drawing = {
        "max_image_pixels": job.limits.max_image_pixels,
        "pixels": job.pixels,
        "patches": [slicing.patch, slicing.merge] if isinstance(slicing, QwenConfig) else None,
        "resize": resizes_with(job, profile) or "pillow",
    }
    return Chain(
        read=partial(read, limits=job.limits.reading),
        read_cpus=resources.read_cpus,
        stages=tuple(stages),
        pack=partial(_pack, job, resolved.vocabulary, resolved.recipe),
        pack_pool=_required(resources.pack),
        close=partial(_close, job.pack, job.sequence_length, resolved.vocabulary),
        write=Stage("write", partial(_write, config, _guarded(Draw, drawing, job)), _required(resources.write)),
        stall_seconds=job.limits.stall_seconds,
        grows_to=resources.largest,
        wait_seconds=job.limits.wait_seconds,
        object_store_bytes=resources.object_store_mib << 20,
        small_bytes=SMALL_BYTES if job.score is None else SMALL_SCORED_BYTES,
    )


def _grey_pixels(job: Job, profile: Profile) -> int | None:
    """How much of a picture's luminance is looked at: more where scoring asks what is legible, which no tile does."""
    if job.score is None:
        is_filtered = job.filters is not None and job.filters.needs() != "text"
        return COARSE_PIXELS if is_filtered or looks_at_pictures(job.reduce) else None
    is_legible = job.budget is not None and job.budget.spread == "legible"
    return FINE_PIXELS if is_legible and isinstance(profile.slicing, QwenConfig) else COARSE_PIXELS


def _read_tokenizer(url: str) -> bytes:
    try:
        return storage.read_bytes(url)
    except StorageError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise ConfigError(f"tokenizer {error}") from error
        raise ConfigError(
            f"no tokenizer at {url}{from_here(url)}; train one with: lodepack tokenizer train JOB.yaml --kind unigram"
        ) from error


def _open_tokenizer(model: bytes, profile: Profile, name: str) -> Tokenizer:
    return open_tokenizer(model, profile.tokens.literals(), name, profile.tokenizer_pattern, profile.reserved_ids)


def _pool(section: PoolSection | None) -> Pool | None:
    return None if section is None else _required(section)


def _required(section: PoolSection) -> Pool:
    return Pool(section.cpus, section.gpus, *section.actors, section.batch_size)


def _expanding(section: PoolSection, job: Job) -> Pool:
    """Fewer rows a call where each makes others of itself: as many leave the pool, small pictures and all."""
    return replace(_required(section), batch_size=max(1, section.batch_size // (1 + len(job.derive))))


def _same(operator: Operator, _: Beat) -> Operator:
    return operator


def _tokenize(url: str, profile: Profile, discrete: DiscreteIds | None, _: Beat) -> Operator:
    return Tokenize(_open_tokenizer(_read_tokenizer(url), profile, url), profile.chat, discrete)


def _score(
    scoring: ScoreConfig,
    budget: BudgetConfig | None,
    profile: Profile,
    url: str,
    device: str,
    _: Beat,
    *,
    keeps_looks: bool,
) -> Operator:
    from operators.score import Score  # torch takes seconds to import: only the actors that score pay for it

    slicing = profile.slicing if isinstance(profile.slicing, QwenConfig) else None
    return Score(scoring, budget, slicing, device, retiling(budget, profile, url), keeps_looks=keeps_looks)


def retiling(budget: BudgetConfig | None, profile: Profile, url: str) -> Retile | None:
    """What a budget does in a family of tiles; None without either. url: of the tokenizer."""
    if budget is None or not isinstance(profile.slicing, Tiled):
        return None
    tokenizer = _open_tokenizer(_read_tokenizer(url), profile, url)
    return Retile(profile.slicing, profile.tokens.by_role(), tokenizer, budget)


def _guarded(task: Callable[..., Task], options: dict[str, Any], job: Job) -> TaskSpec:
    """A task on pictures as the child of an actor runs it."""
    most = PICTURE_BYTES + PIXEL_BYTES * job.limits.max_image_pixels
    return TaskSpec(task, options, job.limits.decode_timeout_seconds, most)


def _decode(measuring: TaskSpec, discrete: DiscreteConfig | None, beat: Beat) -> Operator:
    measure = Measure(**measuring.options)
    return Decode(
        Headers(measure, partial(Guard, measuring, beat)) if measure.is_blind else Guard(measuring, beat), discrete
    )


def _write(config: WriteConfig, drawing: TaskSpec, beat: Beat) -> Operator:
    return Write(config, _no_picture if config.pixels in UNRENDERED else Guard(drawing, beat))


def _no_picture(table: pa.Table) -> list[Result]:
    """What draws where nothing is drawn."""
    raise AssertionError(f"{table.num_rows} pictures are to be drawn of which no pixel is kept")


def _close(
    config: PackConfig, sequence_length: int, vocabulary: Vocabulary, closing: Closing, found: Carried
) -> Iterator[pa.Table]:
    return close(closing, found, Fitter(config, sequence_length, vocabulary))


def _pack(job: Job, vocabulary: Vocabulary, recipe: dict[str, Any], units: Sequence[Unit]) -> Pack:
    shards = {unit.number: {shard.name: shard.url for shard in unit.shards} for unit in units}
    takes = {unit.number: unit.take for unit in units if unit.take is not None}
    recipes = {unit.number: recipe_hash(unit_recipe(recipe, unit.source)) for unit in units}
    weights = {unit.number: unit.source.weight for unit in units}
    older = {unit.number: unit.older.packs for unit in units if unit.older is not None}
    dedup = None if job.filters is None else job.filters.dedup
    return Pack(job.pack, job.sequence_length, vocabulary, shards, recipes, takes, weights, older, dedup)
