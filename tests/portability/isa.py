#!/usr/bin/env python3
"""Compiles every shader with RADV, a real GPU compiler. Fails if one spills, or fuses what must not be fused.

FOLDER holds NAME.spv (naga's translation of the portable text, in which only `opaque` separates a product
from a sum) and NAME.vulkan.spv (the module that Vulkan drivers get, in which a decoration does).
FOLDER/planted holds shaders with one fault each, which must be found: otherwise this check is blind.
README.md defines what counts as fused.

--compare RECORD prints the figures that differ from a record of benches/record/isa.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

# Chips, and the names that Mesa has used for each.
CHIPS = {"navi21": ["navi21"], "navi31": ["navi31", "gfx1100"]}
# The chip that decides whether the check fails. The others are only recorded.
GATE = "navi21"
COLUMNS = [
    "VGPRs",
    "SGPRs",
    "Spilled VGPRs",
    "Spilled SGPRs",
    "Instructions",
    "Latency",
    "Inverse Throughput",
    "VALU per weight",
]

# The kernels whose results are exact. Products have error bounds and may be fused.
EXACT = (
    ("quantize.", "quantize_search.", "quantize_pack.", "dequantize.")
    + ("round_trip.", "error_sums.")
    + ("get_rows.", "self_test.")
)

# Programs for software adapters.
SOFTWARE = (".lanes1.", ".textures")

# Targets of products, printed and recorded but no failure: registers that leave room for enough waves, and
# vector instructions per weight in the inner loop of the matrix-vector product with int8.
MATVEC = re.compile(r"matvec\.(\w+)\.int8\.subgroup(\.file)?\.rows[24]\.columns1\.spv")
MOST_REGISTERS = {"matvec": 64, "matmul": 128}
MOST_INSTRUCTIONS = {"q4_0": 1.0, "q8_0": 0.6, "q4_k": 1.2} | dict.fromkeys(
    "iq1_s iq1_m iq2_xxs iq2_xs iq2_s iq3_xxs iq3_s iq4_nl iq4_xs tq1_0 tq2_0 mxfp4 nvfp4".split(), 3.0
)
OTHERS = 2.0

# v_fma_f32, v_fmac_f32, v_fmaak_f32, v_mad_f32, v_dual_fmac_f32, v_pk_fma_f32, v_fma_mix_f32, v_dot2_f32_f16,
# …; not integer instructions such as v_mad_u32_u24.
FUSED = re.compile(r"\s*v_(?:pk_|dual_)?(?:fma|mad|mac|dot)\w*_f(?:16|32)\w*\s+(.*)")


def is_power_of_two(operand: str) -> bool:
    """Whether a factor is the constant ±2^k, inline or as a word. Its product is exact, fused or not."""
    if re.fullmatch(r"-?(0\.5|1\.0|2\.0|4\.0)", operand):
        return True
    return operand.startswith("0x") and int(operand, 16) & 0x7FFFFF == 0


def fused(assembly: str) -> list[str]:
    """The instructions that fuse a product and a sum so that the result may change."""
    found = []
    for line in assembly.splitlines():
        for part in line.split(";")[0].split("::"):
            instruction = FUSED.match(part)
            # Operands are the destination and then the two factors.
            if instruction and not any(map(is_power_of_two, instruction[1].replace(",", " ").split()[1:3])):
                found.append(" ".join(part.split()))
    return found


def instructions_per_weight(assembly: str) -> float | None:
    """Vector instructions per weight in the inner loop. A dot product of four int8 handles four weights. None
    if there is no packed dot product in one instruction.
    """
    lines = [line.split(";")[0].strip() for line in assembly.splitlines()]
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.fullmatch(r"BB\d+:", line)}
    loops = []
    for i, line in enumerate(lines):
        branch = re.match(r"s_c?branch\w*\s+(BB\d+)", line)
        if branch and labels.get(branch[1], len(lines)) < i:
            loops.append(lines[labels[branch[1]] : i])
    # The shortest loop with dot products.
    counts = [(sum(part.startswith("v_dot4") for part in loop), loop) for loop in loops]
    counts = [(len(loop), dots, loop) for dots, loop in counts if dots]
    if not counts:
        return None
    _, dots, loop = min(counts)
    # On navi31, a line may hold two instructions.
    return sum(part.strip().startswith("v_") for line in loop for part in line.split("::")) / (4 * dots)


def product_faults(folder: Path, chip: str, statistics: dict[str, dict]) -> list[str]:
    found = []
    for name, line in statistics.items():
        matvec = MATVEC.fullmatch(name)
        kernel = "matvec" if matvec else name.split(".")[0]
        most = MOST_REGISTERS.get(kernel)
        if most and (matvec and not matvec[2] or kernel == "matmul") and line["VGPRs"] > most:
            found.append(f'{chip}: {name}: {line["VGPRs"]} registers, at most {most}')
        if matvec:
            count = instructions_per_weight((folder / f"{name}.{chip}.asm").read_text())
            line["VALU per weight"] = count
        # For blocks in the file's layout, figures are only recorded.
        if matvec and not matvec[2]:
            most = MOST_INSTRUCTIONS.get(matvec[1], OTHERS)
            if count is None:
                found.append(f"{chip}: {name}: no packed dot product in one instruction")
            elif count > most:
                found.append(f"{chip}: {name}: {count:.2f} vector instructions a weight, at most {most}")
    return found


def compile_all(isa_cost: Path, chip: str, files: list[Path]) -> dict[str, dict]:
    """RADV's statistics of each file, by name."""
    for name in CHIPS[chip]:
        done = subprocess.run(
            [isa_cost, chip, *(file.name for file in files)],
            cwd=files[0].parent,
            env=os.environ | {"RADV_FORCE_FAMILY": name},
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}
        if done.stdout:
            break
    sys.exit(
        f"{chip}: isa_cost ended with {done.returncode} after {len(done.stdout.splitlines())} "
        f"of {len(files)} files: {done.stderr}"
    )


def faults(folder: Path, chip: str, statistics: dict[str, dict]) -> list[str]:
    found = []
    for name, line in statistics.items():
        for key in ("Spilled VGPRs", "Spilled SGPRs", "Scratch size"):
            if line[key]:
                found.append(f"{chip}: {name}: {key}: {line[key]}")
        if not name.startswith(EXACT):
            continue
        for instruction in fused((folder / f"{name}.{chip}.asm").read_text()):
            found.append(f"{chip}: {name}: fused: {instruction}")
    return found


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def table(statistics: dict[str, dict]) -> list[str]:
    lines = [f'| kernel | {" | ".join(COLUMNS)} |', "|---|" + "--:|" * len(COLUMNS)]
    for name, line in sorted(statistics.items()):
        lines.append(
            f'| {name.removesuffix(".spv")} | '
            + " | ".join(cell(line.get(column)) for column in COLUMNS)
            + " |"
        )
    return lines


def record(folder: Path, mesa: str, by_chip: dict[str, dict[str, dict]]) -> None:
    today = datetime.date.today().isoformat()
    lines = [
        f"# Kernels as RADV compiles them, {today}",
        "",
        f"{mesa}. Registers, spills and instructions of one wave. Latency and inverse throughput are the",
        "compiler's own estimates in cycles, with guessed loop counts and without memory: they compare",
        "kernels, and are not a time. Vector instructions per weight are those of the inner loop. `.vulkan`",
        "is the module that Vulkan drivers get; the other is the portable text, with its opaque steps.",
        "Written by `tests/portability/run.sh --record`.",
    ]
    for chip, statistics in by_chip.items():
        lines += ["", f"## {chip}", "", *table(statistics)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{today}.md").write_text("\n".join(lines) + "\n")


def recorded(path: Path) -> dict[str, dict[str, list[str]]]:
    """The cells of each program on each chip in a record."""
    by_chip, chip = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            chip = by_chip.setdefault(line[3:], {})
        elif line.startswith("| ") and chip is not None:
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            chip[name] = cells
    return by_chip


def compare(path: Path, by_chip: dict[str, dict[str, dict]]) -> None:
    """Prints the programs whose figures differ from a record, or are not in it."""
    for chip, before in recorded(path).items():
        if chip not in by_chip:
            continue
        now = {
            name.removesuffix(".spv"): [cell(line.get(column)) for column in COLUMNS]
            for name, line in by_chip[chip].items()
        }
        both = sorted(now.keys() & before.keys())
        changed = [name for name in both if now[name] != before[name]]
        print(f"{chip}: {len(both) - len(changed)} of {len(both)} programs as in {path.name}")
        for name in changed:
            pairs = zip(COLUMNS, before[name], now[name])
            print(f"  {name}: " + ", ".join(f"{column} {a} -> {b}" for column, a, b in pairs if a != b))
        print("  not in the record:", *sorted(now.keys() - before.keys()))
        print("  only in the record:", *sorted(before.keys() - now.keys() - {"kernel"}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("isa_cost", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mesa", default="Mesa", help="the name and version of the driver, for the record")
    parser.add_argument(
        "--record", type=Path, help="a folder, to write a table of every kernel on every chip"
    )
    parser.add_argument("--compare", type=Path, help="a record, to print the figures that differ from it")
    arguments = parser.parse_args()
    isa_cost, folder = arguments.isa_cost.resolve(), arguments.folder

    planted = sorted((folder / "planted").glob("*.spv"))
    # Programs with a thread per row or weight textures are for software adapters.
    files = sorted(file for file in folder.glob("*.spv") if not any(part in file.name for part in SOFTWARE))
    if not planted or not files:
        sys.exit(f"{folder} holds no shaders")
    compile_all(isa_cost, GATE, planted)
    for file in planted:
        if not fused(Path(f"{file}.{GATE}.asm").read_text()):
            sys.exit(f"the gate is blind: nothing is fused in {file}, which has a fault planted")

    by_chip = {chip: compile_all(isa_cost, chip, files) for chip in (CHIPS if arguments.record else [GATE])}
    found = faults(folder, GATE, by_chip[GATE])
    for chip, statistics in by_chip.items():
        of_products = product_faults(folder, chip, statistics)
        if chip == GATE and of_products:
            print("over their targets:", *of_products, sep="\n  ")
    if arguments.compare:
        compare(arguments.compare, by_chip)
    if arguments.record:
        record(arguments.record, arguments.mesa, by_chip)
    print(f"{len(files)} modules, {len(found)} faults; the faults planted in {len(planted)} were seen")
    sys.exit("\n".join(found) or None)


if __name__ == "__main__":
    main()
