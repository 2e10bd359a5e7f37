"""The limits of the sandbox's tests."""

from harness.accuracy.sandbox import Limits

LIMITS = Limits(wall_s=20, output_bytes=1 << 20, tmp_bytes=32 << 20, file_bytes=8 << 20, processes=32)
