"""What is recorded of the machine and the packages, on which the last digits of a number depend."""

import subprocess
import sys

import torch

from recrl.version import versions


def test_threads_and_cpu_are_recorded_where_torch_computes() -> None:
    found = versions()
    assert found["torch"] == torch.__version__
    assert found["threads"] == str(torch.get_num_threads())
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert all(isinstance(value, str) for value in found.values())


def test_recording_the_versions_loads_no_torch() -> None:
    code = (
        "from recrl.version import versions; import sys; found = versions(); assert 'torch' not in sys.modules, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
