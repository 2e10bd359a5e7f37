"""What a disk refuses, as errors that name the folder and what to do."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ConfigError
from harness.machine import disk


@contextlib.contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Raise DiskFull for a full disk under `root`, and ConfigError for a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in disk.CODES:
            raise disk.full(root, error.strerror) from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise ConfigError(
                f"cannot write to {root}: {error.strerror}; set results_dir= to a folder you own"
            ) from None
        raise
