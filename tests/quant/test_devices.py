"""What `ilora doctor` knows about the machine."""

import os
import subprocess
import sys

import torch

from quant.devices import cpu_fields, devices

CPUINFO = """processor\t: 0
model name\t: A Fine CPU @ 3.0GHz
flags\t\t: fpu avx512f avx512_bf16 amx_tile

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""


def test_name_and_flags_are_those_of_the_first_processor() -> None:
    name, flags = cpu_fields(CPUINFO)
    assert name == "A Fine CPU @ 3.0GHz"
    assert flags == {"fpu", "avx512f", "avx512_bf16", "amx_tile"}


def test_unknown_format_gives_no_flags() -> None:
    assert cpu_fields("Features : fp asimd\n") == ("", frozenset())
    assert cpu_fields("") == ("", frozenset())


def test_this_machine_is_described_as_torch_sees_it() -> None:
    found = devices()
    assert found.cpu
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.memory > 2**30
    capability = torch.backends.cpu.get_cpu_capability()
    assert found.avx512f or "AVX512" not in capability
    assert not found.avx512_bf16 or found.avx512f
    assert len(found.cuda) == torch.cuda.device_count()


def test_asking_without_a_graphics_driver_does_not_import_torch() -> None:
    code = (
        "import sys; from quant.devices import devices; print(bool(devices().cuda), 'torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    cuda, torch_imported = shown.split()
    assert cuda == "True" or torch_imported == "False"
