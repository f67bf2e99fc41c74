"""Keeping freed memory is a choice of the program; it works on glibc."""

import subprocess
import sys

CODE = """
import resource, torch, genviews
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4, 1024, 1024)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.set_num_threads(1)
first = faults()
from genviews.memory import keep_freed_memory
print(keep_freed_memory(), first, (faults(), faults())[1])
"""


def test_fewer_page_faults():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    able, first, later = done.stdout.split()
    if able == "True":
        assert int(first) > 20_000  # 20 x 16 MiB, page by page
        assert int(later) < int(first) / 10
    else:
        assert not sys.platform.startswith("linux") or "musl" in sys.version
