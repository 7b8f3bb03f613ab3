"""Whether freed buffers stay in the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import os, resource, sys
from rustray.node.big_buffers import keep_big_buffers

if sys.argv[1] == "kept":
    keep_big_buffers()
source = os.open("/dev/zero", os.O_RDONLY)
os.read(source, 1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _buffer in range(50):
    pair = [os.read(source, 1 << 20), os.read(source, 1 << 20)]
    del pair
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_buffers_are_not_faulted_in_again_and_again() -> None:
    def faults(how: str) -> int:
        return int(
            subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True).stdout
        )

    # The two of the first round, 256 pages each, and a few; without it those of most rounds.
    assert faults("kept") < 1024 < 5000 < faults("given back")
