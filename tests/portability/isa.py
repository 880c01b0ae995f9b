#!/usr/bin/env python3
"""What RADV, a real GPU compiler, makes of every shader: fails where it spills, or where it fused what it must not fuse.

FOLDER holds NAME.spv (naga's translation of the portable text, in which only `opaque` stands between a product and a sum) and
NAME.vulkan.spv (what Vulkan drivers are given, where a decoration does). FOLDER/planted holds shaders with a fault in each: they must
be found, or the gate is blind. README.md says what counts as fused.
"""
import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

# The chip, and the names by which Mesa has known it.
CHIPS = {'navi21': ['navi21'], 'navi31': ['navi31', 'gfx1100']}
# The chip that is held to the rules; the others are recorded.
GATE = 'navi21'
COLUMNS = ['VGPRs', 'SGPRs', 'Spilled VGPRs', 'Spilled SGPRs', 'Instructions', 'Latency', 'Inverse Throughput']

# The kernels whose bits are promised; products of matrices are bounded instead, and may be fused.
EXACT = ('quantize', 'dequantize', 'get_rows', 'self_test')

# v_fma_f32, v_fmac_f32, v_fmaak_f32, v_mad_f32, v_dual_fmac_f32, v_pk_fma_f32, v_fma_mix_f32, v_dot2_f32_f16, …; not the integers' v_mad_u32_u24.
FUSED = re.compile(r'\s*v_(?:pk_|dual_)?(?:fma|mad|mac|dot)\w*_f(?:16|32)\w*\s+(.*)')

def is_power_of_two(operand: str) -> bool:
    """Whether a factor is a constant ±2^k, as an inline constant or a word: a product with it is exact, fused or not."""
    if re.fullmatch(r'-?(0\.5|1\.0|2\.0|4\.0)', operand):
        return True
    return operand.startswith('0x') and int(operand, 16) & 0x7FFFFF == 0


def fused(assembly: str) -> list[str]:
    """The instructions that round a product and a sum at once where that changes the result."""
    found = []
    for line in assembly.splitlines():
        for part in line.split(';')[0].split('::'):
            instruction = FUSED.match(part)
            # In every one of these the destination comes first and then the two factors.
            if instruction and not any(map(is_power_of_two, instruction[1].replace(',', ' ').split()[1:3])):
                found.append(' '.join(part.split()))
    return found


def compile_all(isa_cost: Path, chip: str, files: list[Path]) -> dict[str, dict]:
    """RADV's statistics of each file, by its name."""
    for name in CHIPS[chip]:
        done = subprocess.run(
            [isa_cost, chip, *(file.name for file in files)],
            cwd=files[0].parent,
            env=os.environ | {'RADV_FORCE_FAMILY': name},
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return {line['file']: line for line in map(json.loads, done.stdout.splitlines())}
        if done.stdout:
            break
    sys.exit(f'{chip}: isa_cost ended with {done.returncode} after {len(done.stdout.splitlines())} of {len(files)} files: {done.stderr}')


def faults(folder: Path, chip: str, statistics: dict[str, dict]) -> list[str]:
    found = []
    for name, line in statistics.items():
        for key in ('Spilled VGPRs', 'Spilled SGPRs', 'Scratch size'):
            if line[key]:
                found.append(f'{chip}: {name}: {key}: {line[key]}')
        if not name.startswith(EXACT):
            continue
        for instruction in fused((folder / f'{name}.{chip}.asm').read_text()):
            found.append(f'{chip}: {name}: fused: {instruction}')
    return found


def table(statistics: dict[str, dict]) -> list[str]:
    lines = [f'| kernel | {" | ".join(COLUMNS)} |', '|---|' + '--:|' * len(COLUMNS)]
    for name, line in sorted(statistics.items()):
        lines.append(f'| {name.removesuffix(".spv")} | ' + ' | '.join(str(line[column]) for column in COLUMNS) + ' |')
    return lines


def record(folder: Path, mesa: str, by_chip: dict[str, dict[str, dict]]) -> None:
    today = datetime.date.today().isoformat()
    lines = [
        f'# Kernels as RADV compiles them, {today}',
        '',
        f'{mesa}. Registers, spills and instructions of one wave; latency and inverse throughput are the compiler\'s own estimates in',
        'cycles, with loops counted by its guess and memory left out: they compare kernels, and are not a time. `.vulkan` is the module that',
        'Vulkan drivers are given; the other is the portable text, with its opaque steps. Written by `tests/portability/run.sh --record`.',
    ]
    for chip, statistics in by_chip.items():
        lines += ['', f'## {chip}', '', *table(statistics)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{today}.md').write_text('\n'.join(lines) + '\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('isa_cost', type=Path)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--mesa', default='Mesa', help='the name and version of the driver, for the record')
    parser.add_argument('--record', type=Path, help='a folder, to write a table of every kernel on every chip')
    arguments = parser.parse_args()
    isa_cost, folder = arguments.isa_cost.resolve(), arguments.folder

    planted = sorted((folder / 'planted').glob('*.spv'))
    files = sorted(folder.glob('*.spv'))
    if not planted or not files:
        sys.exit(f'{folder} holds no shaders')
    compile_all(isa_cost, GATE, planted)
    for file in planted:
        if not fused(Path(f'{file}.{GATE}.asm').read_text()):
            sys.exit(f'the gate is blind: nothing is fused in {file}, which has a fault planted')

    by_chip = {chip: compile_all(isa_cost, chip, files) for chip in (CHIPS if arguments.record else [GATE])}
    found = faults(folder, GATE, by_chip[GATE])
    if arguments.record:
        record(arguments.record, arguments.mesa, by_chip)
    print(f'{len(files)} modules, {len(found)} faults; the faults planted in {len(planted)} were seen')
    sys.exit('\n'.join(found) or None)


if __name__ == '__main__':
    main()
