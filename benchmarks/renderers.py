"""Images a second of the renderers, on one core or on a device.

    OMP_NUM_THREADS=1 python benchmarks/renderers.py
    python benchmarks/renderers.py --device cuda

Each row draws batches until `--seconds` have passed and gives the median over the batches. Two columns: by the clock,
and by the processor's time of this process, which a busy machine changes less (on a GPU only the first means anything).
Exit status 1 when a row at 32 x 32 misses the target by the processor's time (on a GPU by the clock).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch

from course_lib.data import CHAIR_TYPES, draw_attributes, draw_eyes, render_chairs, render_eyes, render_faces
from course_lib.device import choose_device, describe

TARGET = 2000  # images of 32 x 32 a second on one core


def rates(draw: Callable[[], torch.Tensor], seconds: float, device: torch.device) -> tuple[float, float]:
    """Images a second of `draw`, by the clock and by the processor's time; one batch to warm up."""
    clock, processor = [], []
    draw()
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(clock) < 3:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start, used = time.perf_counter(), time.process_time()
        count = len(draw())
        if device.type == "cuda":
            torch.cuda.synchronize()
        clock.append(count / (time.perf_counter() - start))
        processor.append(count / (time.process_time() - used))
    return statistics.median(clock), statistics.median(processor)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each row is measured")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device, n = choose_device(arguments.device), arguments.batch
    generator = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float) -> torch.Tensor:
        return (low + (high - low) * torch.rand(n, generator=generator)).to(device)

    types = torch.randint(len(CHAIR_TYPES), (n,), generator=generator).to(device)
    azimuth, elevation = uniform(0, 360), uniform(15, 35)
    eyes = {name: value.to(device) for name, value in draw_eyes(n).items()}
    gaze = torch.stack([uniform(-30, 30), uniform(-20, 20)], dim=1)
    attributes = {name: value.to(device) for name, value in draw_attributes(n).items()}
    kinds = {
        "chairs with masks": lambda size: render_chairs(types, azimuth, elevation, size=size)[0],
        "eyes": lambda size: render_eyes(eyes, gaze, size=size),
        "faces": lambda size: render_faces(attributes, size=size),
    }
    print(f"torch {torch.__version__}, {describe(device)}, batches of {n}\n")
    print("| what | size | images a second, clock | images a second, processor | target |")
    print("|---|---|---|---|---|")
    missed = False
    for name, draw in kinds.items():
        for size in (32, 64):
            clock, processor = rates(lambda draw=draw, size=size: draw(size), arguments.seconds, device)
            print(f"| {name} | {size} | {clock:,.0f} | {processor:,.0f} | {f'≥ {TARGET:,}' if size == 32 else ''} |")
            missed |= size == 32 and (clock if device.type == "cuda" else processor) < TARGET
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
