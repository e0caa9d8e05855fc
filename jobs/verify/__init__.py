"""Whether an output is what it promises: conserved, reproducible in its names, committed once, each pack exact.

Re-reads the inputs with code of its own, since a mistake of the writer must not be repeated by the one who checks it.
It shares the types, the schemas, the opening of URLs, the adapters of tokenizers with the chat templates (`text`), and
the arithmetic of the slicing schemes (`replan`), which tests hold against the families' own processors.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pydantic import ValidationError

from jobs.verify.check import Check
from jobs.verify.closing import check_carried, check_closes
from jobs.verify.data import check_packs
from jobs.verify.files import check_files, check_records, list_orphans, open_version
from jobs.verify.findings import Finding, Report
from jobs.verify.index import check_index
from jobs.verify.inputs import check_inputs
from jobs.verify.locate import locate_shards
from jobs.verify.records import Recipe, Version
from jobs.verify.replan import Planner
from jobs.verify.sources import mixes
from jobs.verify.takes import check_takes
from jobs.verify.text import open_text
from jobs.verify.units import read_unit
from pipeline.errors import ConfigError
from pipeline.records import read_last_run
from pipeline.schema import INDEX

__all__ = ["Finding", "Report", "verify"]


def verify(output: str, inputs: Sequence[str] = (), tokenizer: str | None = None) -> Report:
    """Checks the highest version in `output`; memory holds one unit's index and one row group at a time.

    inputs, tokenizer: where they are now, if not where the last run read them. ConfigError for what is no output,
    and for inputs that cannot be found; everything else is a finding.
    """
    number, version = open_version(output)
    report = Report(output, number)
    recipe = _recipe(version)
    manifests = check_records(output, number, version, report)
    is_mixture = mixes(version, manifests)
    record = read_last_run(output)
    names = [entry.shard for manifest in manifests for entry in manifest.inputs]
    urls = locate_shards(names, inputs, record.get("shards", {}), version.sources if is_mixture else ())
    address = tokenizer or record.get("tokenizer")
    if address is None:
        raise ConfigError(f"{output} does not record its tokenizer; give the file with --tokenizer FILE")
    text = open_text(address, recipe)
    takes = check_takes(manifests, version, recipe.job.limit, report)
    sources = {unit: entry for entry in version.sources.values() for unit in entry.units}
    check = Check(output, recipe, text, Planner(version.recipe, text.tokenizer), urls, takes, sources)
    check_closes(f"versions/{number:06d}.json", manifests, version, recipe.job.pack, report)
    carried = {manifest.unit: INDEX.empty_table() for manifest in manifests}
    for manifest in sorted(manifests, key=lambda manifest: manifest.closes is not None):
        if not check_files(output, manifest, recipe, report):
            report.notes.append(f"unit {manifest.unit} was not looked into, because its files are not sound")
            continue
        if manifest.unit not in sources:
            continue  # a finding already; nothing says how its shards are to be read
        if manifest.closes is None:
            unit = read_unit(output, manifest, report)
            check_inputs(unit, check, report)
            carried[manifest.unit] = unit.index.filter(unit.index["carried"])
        else:
            closed = [carried[unit] for unit in manifest.closes if unit in carried]
            unit = read_unit(output, manifest, report, pa.concat_tables([INDEX.empty_table(), *closed]))
            check_carried(unit, report)
        check_index(unit, check, report)
        check_packs(unit, check, report)
    _note_strays(output, version, names, record.get("shards", {}), report)
    return report


def _recipe(version: Version) -> Recipe:
    try:
        return Recipe.model_validate(version.recipe)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise ConfigError(f"the recipe of the output cannot be checked by this lodepack: {wrong}") from error


def _note_strays(output: str, version: Version, names: Sequence[str], recorded: dict[str, str], report: Report) -> None:
    """Notes what is harmless: files that no manifest names, shards of the last run that are in no unit."""
    orphans = list_orphans(output)
    if orphans:
        report.notes.append(
            f"{len(orphans)} files are named by no manifest (a killed run leaves some; list them with --orphans): "
            f"{', '.join(orphans[:3])}"
        )
    strays = sorted(recorded.keys() - set(names) - set(version.withheld_shards))
    if strays:
        report.notes.append(
            f"{len(strays)} shards of the last run are in no unit of this version: {', '.join(strays[:3])}"
        )
