"""An output whose files can be rewritten so that names, hashes and sizes still fit: to tell lies in."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.units import canonical_json


class Output:
    """An output whose files can be rewritten so that names, hashes and sizes still fit."""

    def __init__(self, root):
        self.root = root
        self.units = json.loads((root / "versions/000001.json").read_bytes())["units"]
        # First the unit of a.tar, which has a reject and a document in parts; last a closing unit, which has no shard.
        self.units.sort(key=self._first_shard)

    def _first_shard(self, unit):
        inputs = self.load(f"manifests/{unit}.json")["inputs"]
        return (not inputs, inputs[0]["shard"] if inputs else "")

    def load(self, path):
        return json.loads((self.root / path).read_bytes())

    def record(self, path, change):
        """Changes a JSON record."""
        record = self.load(path)
        change(record)
        (self.root / path).write_bytes(canonical_json(record))

    def manifest(self, change, unit=0):
        self.record(f"manifests/{self.units[unit]}.json", change)

    def version(self, change):
        self.record("versions/000001.json", change)

    def table(self, kind, change, unit=0):
        """Changes the file of a kind: `change` gets its rows, or its table if it asks for one by name."""
        path = f"manifests/{self.units[unit]}.json"
        entry = next(file for file in self.load(path)["files"] if file["kind"] == kind)
        old = self.root / entry["path"]
        if change.__code__.co_varnames[0] == "table":
            table = change(pq.read_table(old))
        else:
            rows = pq.read_table(old).to_pylist()
            change(rows)
            table = pa.Table.from_pylist(rows, schema=pq.read_schema(old))
        old.unlink()
        pq.write_table(table, old)
        data = old.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{entry['path'].rpartition('-')[0]}-{sha256[:8]}.parquet"
        old.rename(self.root / name)

        def fix_up(manifest):
            for file in manifest["files"]:
                if file["path"] == entry["path"]:
                    file |= {"path": name, "sha256": sha256, "bytes": len(data), "rows": table.num_rows}

        self.record(path, fix_up)
