"""Downloaded weights against the hub's sha256 of them; huggingface_hub compares sizes alone.

The hub's cache names the content of a large file by its etag, the sha256 that the hub has of it. A file whose name is
no sha256 (a copy without links, a small file) is not known, and not compared. A file that matched is not read again
while path, size, times and inode are the same.
"""

import re

from harness.checkpoints import hub
from harness.checkpoints.file_digests import Digests
from harness.checkpoints.identity import WEIGHTS
from harness.errors import HarnessError
from harness.hub.cache import discard
from harness.hub.commits import MODEL
from harness.hub.failures import Place

SHA256 = re.compile(r"[0-9a-f]{64}")


def confirm_weights(repository: str, commit: str | None, digests: Digests) -> None:
    """Raise HarnessError for a downloaded weight file with other content; it is removed from the hub's cache.

    `digests`: of sha256. Files that are not downloaded yet are not there to compare.
    """
    folder = hub.snapshot(repository, commit)
    if folder is None:
        return
    blobs = {path: path.resolve() for path in sorted(folder.iterdir()) if path.name.endswith(WEIGHTS)}
    named = {path: blob for path, blob in blobs.items() if SHA256.fullmatch(blob.name) and blob.is_file()}
    found = digests.of(named.values())
    for path, blob in named.items():
        if found[blob] != blob.name:
            raise HarnessError(discard(Place(repository, MODEL, commit), path))
