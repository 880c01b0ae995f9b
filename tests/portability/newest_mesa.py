#!/usr/bin/env python3
"""Compiles every shader with Mesa's compilers for real chips, without the chips: Mesa's shims replace the
kernel's drivers, and nothing runs.

ROOT is a Debian with the newest Mesa that contains isa_cost and shaders/ with NAME.spv. Fails if a module
does not compile. On desktop chips, also fails if one spills, or if a kernel for packed bytes or matrix units
lacks the chip's instruction for them.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Chip(NamedTuple):
    name: str
    # Mesa's driver, its shim, and the variable that selects the chip.
    driver: str
    shim: str
    variable: str
    value: str
    # The statistics of isa_cost for registers and for spills.
    registers: str
    spills: tuple[str, ...]
    # The instructions for products of four packed bytes and of matrices.
    dot: str
    matrix: str | None
    is_desktop: bool = True


AMD = ("radeon", "amdgpu", "AMDGPU_GPU_ID")
NVIDIA = ("nouveau", "nouveau", "NOUVEAU_CHIPSET")
OF_AMD = (
    "VGPRs",
    ("Spilled VGPRs", "Spilled SGPRs", "Scratch size"),
    r"\bv_dot4_i32_i",
    "v_wmma_f32_16x16x16_f16",
)
OF_NVIDIA = ("Number of GPRs", ("Spills to memory", "Fills from memory", "SLM size"), r"\bidp4\.", "hmma")
CHIPS = [
    Chip("RDNA3 (navi31)", *AMD, "navi31", *OF_AMD),
    Chip("RDNA4 (gfx1201)", *AMD, "gfx1201", *OF_AMD),
    Chip("Turing (TU102)", *NVIDIA, "162", *OF_NVIDIA),
    Chip("Ada (AD102)", *NVIDIA, "192", *OF_NVIDIA),
    Chip(
        "Adreno 740",
        "freedreno",
        "freedreno",
        "FD_GPU_ID",
        "740",
        "Registers used",
        ("STP Count", "LDP Count"),
        r"\bdp4acc",
        None,
        is_desktop=False,
    ),
]

# Programs for software adapters.
SOFTWARE = (".lanes1.", ".textures")
# The programs that GPUs use for one vector and for many, whose cost is recorded.
SHOWN = re.compile(
    r"matvec\.\w+\.(int8|exact)\.subgroup\.rows[24]\.columns1\.spv"
    r"|matmul\.\w+\.(int8|exact)\.spv|matmul_cooperative\..*"
)


def compile_all(root: Path, chip: Chip, folder: str) -> dict[str, dict]:
    """isa_cost's statistics of each module of a folder, by name."""
    files = sorted(
        file.name for file in (root / folder).glob("*.spv") if not any(part in file.name for part in SOFTWARE)
    )
    # AMD's and NVIDIA's matrices are 16 x 16. Of these two, only AMD's subgroups have several sizes.
    is_amd = chip.driver == AMD[0]
    is_other = re.compile(r"matmul_cooperative_decoded\.(?!.*surplus)" if is_amd else r".*surplus")
    files = [file for file in files if ".side8." not in file and not is_other.match(file)]
    settings = {
        "LD_PRELOAD": f"/usr/lib/x86_64-linux-gnu/lib{chip.shim}_noop_drm_shim.so",
        "VK_DRIVER_FILES": f"/usr/share/vulkan/icd.d/{chip.driver}_icd.json",
        chip.variable: chip.value,
    }
    words = ["env", *(f"{key}={value}" for key, value in settings.items()), "/isa_cost", chip.value, *files]
    shell = f'cd /{folder} && exec "$@"'
    done = subprocess.run(["chroot", root, "bash", "-c", shell, "_", *words], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(lines) != len(files):
        sys.exit(
            f"{chip.name}: isa_cost ended with {done.returncode} after {len(lines)} of {len(files)} modules: "
            f"{done.stderr[-500:]}"
        )
    return {line["file"]: line for line in lines}


def has(root: Path, folder: str, name: str, chip: Chip, instruction: str) -> bool:
    return re.search(instruction, (root / folder / f"{name}.{chip.value}.asm").read_text()) is not None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--record", type=Path, help="a folder, to write a table")
    arguments = parser.parse_args()
    root = arguments.root
    package = ["chroot", root, "dpkg-query", "-W", "-f", "${Version}", "mesa-vulkan-drivers"]
    mesa = subprocess.run(package, capture_output=True, text=True, check=True).stdout
    faults, shown, summary = [], {}, []
    for chip in CHIPS:
        statistics = compile_all(root, chip, "shaders")
        spilling = [name for name, line in statistics.items() if any(line[key] for key in chip.spills)]
        dots = [name for name in statistics if name.startswith(("matvec.", "matmul.")) and ".int8" in name]
        without = [name for name in dots if not has(root, "shaders", name, chip, chip.dot)]
        if chip.matrix:
            matrices = compile_all(root, chip, "shaders/cooperative")
            spilling += [name for name, line in matrices.items() if any(line[key] for key in chip.spills)]
            faults += [
                f"{chip.name}: {name} has no {chip.matrix}"
                for name in matrices
                if not has(root, "shaders/cooperative", name, chip, chip.matrix)
            ]
            statistics |= matrices
        if chip.is_desktop:
            faults += [f"{chip.name}: {name} has no {chip.dot}" for name in without]
            faults += [f"{chip.name}: {name} spills" for name in spilling]
        most = max(statistics.values(), key=lambda line: line[chip.registers])
        summary.append(
            [
                chip.name,
                len(statistics),
                len(spilling),
                f'{most[chip.registers]} ({most["file"].removesuffix(".spv")})',
                f"{len(dots) - len(without)} of {len(dots)}",
            ]
        )
        print(*summary[-1], sep=", ", flush=True)
        for name, line in statistics.items():
            if SHOWN.fullmatch(name):
                mark = "*" if name in spilling else ""
                shown.setdefault(name.removesuffix(".spv"), {})[chip.name] = f"{line[chip.registers]}{mark}"
    if arguments.record:
        today = datetime.date.today().isoformat()
        names = [chip.name for chip in CHIPS]
        lines = [
            f"# Kernels as the newest Mesa compiles them, {today}",
            "",
            f"Mesa {mesa} (RADV, NVK, Turnip) with shims for the kernel's drivers: no chip ran them. Written "
            "by `tests/portability/newest_mesa.sh --record`.",
            "*dot*: modules with int8 in which the product of four packed bytes is one instruction.",
            "",
            "| chip | modules | spilling | most registers | dot |",
            "|---|--:|--:|--:|--:|",
            *("| " + " | ".join(map(str, row)) + " |" for row in summary),
            "",
            "## Registers of products",
            "",
            "Of those that GPUs take for one vector and for many. A star marks one that spills.",
            "",
            f'| kernel | {" | ".join(names)} |',
            "|---|" + "--:|" * len(names),
            *(
                f"| {name} | " + " | ".join(by_chip.get(chip, "") for chip in names) + " |"
                for name, by_chip in sorted(shown.items())
            ),
        ]
        (arguments.record / f"{today}-newest-mesa.md").write_text("\n".join(lines) + "\n")
    sys.exit("\n".join(faults) or None)


if __name__ == "__main__":
    main()
