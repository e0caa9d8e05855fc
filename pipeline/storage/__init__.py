"""Files behind fsspec URLs: opened, listed, created exclusively, put under the name of their content.

The one place that talks to a file system. What it says comes out as StorageError with the URL, never with the
options that may hold a secret.
"""

from pipeline.storage.addresses import is_local, join, local_path
from pipeline.storage.failures import failure
from pipeline.storage.listing import (
    THREADS,
    Listed,
    expand_glob,
    fingerprint,
    fingerprints,
    list_files,
    list_names,
    remove,
)
from pipeline.storage.reading import CHUNK_BYTES, exists, hash_file, open_input, read_bytes, read_ranges, size_of
from pipeline.storage.temporaries import TEMPORARY, is_in_use, sweep_temporaries, temporary_path
from pipeline.storage.traffic import Traffic, counted
from pipeline.storage.uploads import Upload, abort_upload, unfinished_uploads
from pipeline.storage.writing import Stored, create_exclusive, overwrite, put_by_content, put_file

__all__ = [
    "CHUNK_BYTES",
    "TEMPORARY",
    "THREADS",
    "Listed",
    "Stored",
    "Traffic",
    "Upload",
    "abort_upload",
    "counted",
    "create_exclusive",
    "exists",
    "expand_glob",
    "failure",
    "fingerprint",
    "fingerprints",
    "hash_file",
    "is_in_use",
    "is_local",
    "join",
    "list_files",
    "list_names",
    "local_path",
    "open_input",
    "overwrite",
    "put_by_content",
    "put_file",
    "read_bytes",
    "read_ranges",
    "remove",
    "size_of",
    "sweep_temporaries",
    "temporary_path",
    "unfinished_uploads",
]
