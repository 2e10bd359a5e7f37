"""Seeds of resampling."""

from zlib import crc32


def seed_of(seed: int, *names: str) -> list[int]:
    """Return the seed of a stream for these names, the same in every process."""
    return [seed, *(crc32(name.encode()) for name in names)]
