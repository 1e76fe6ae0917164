"""Time the selective scan against its peers and against what the machine could do at best.

    python benchmarks/selective_scan.py                       # every shape, one thread
    python benchmarks/selective_scan.py --allocator default   # as glibc is without settings
    python benchmarks/selective_scan.py --slow --shapes i --codes selective_scan_ref
    python benchmarks/selective_scan.py --two-threads         # two threads against one
    python benchmarks/selective_scan.py --sweep               # Hessian-vector product by length
    python benchmarks/selective_scan.py --memory              # peak extra memory on shape i

Peers that are not installed are left out: ``pip install mambapy`` and, for selective_scan_ref,
``pip install --no-build-isolation --no-deps mamba-ssm einops`` (see tests/ops/test_mamba_ssm.py).
Runs are interleaved (every implementation once per round), so that a busy moment of the machine
meets all of them. One-thread figures are CPU seconds of the process, which other jobs on the
machine disturb least; with more threads they are wall-clock seconds.
"""

import argparse
import importlib
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from clip_mamba.ops.selective_scan import selective_scan  # noqa: E402

# (batch, dim, length, groups, state)
SHAPES = {
    "i": (4, 768, 3136, 4, 1),  # VMamba stage 1
    "ii": (4, 3072, 196, 4, 1),  # VMamba stage 3
    "iii": (4, 192, 3136, 1, 64),  # SiMBA stage 1
    "iv": (64, 128, 64, 1, 16),
    "v": (64, 256, 256, 4, 1),
    "demo-1": (256, 64, 64, 4, 1),  # the demo models
    "demo-2": (256, 128, 16, 4, 1),
    "demo-3": (256, 128, 64, 1, 16),
    "tiny": (2, 16, 16, 4, 1),
}
# Retaining the heap: by default glibc gives large tensors back and faults them in again.
RETAINED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "16000000000"}
SWEEP = [196, 784, 3136, 6272]  # lengths
PATIENCE = 4.0  # seconds: what takes longer is run once
SLOW_REFERENCE = 3e9  # batch x dim x state x length**2, above which its reference is left out

Scan = Callable[..., Tensor]


def our_scan(backend: str) -> Scan:
    """Return one of our backends."""
    return partial(selective_scan, delta_softplus=True, backend=backend)


def mambapy_scan() -> Scan | None:
    """Return the scan as mambapy's models call it, or None if it is not installed."""
    if importlib.util.find_spec("mambapy") is None:
        return None
    pscan = importlib.import_module("mambapy.pscan").pscan

    def scan(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor
    ) -> Tensor:
        u_t = u.transpose(1, 2)  # (b, l, d)
        step = torch.nn.functional.softplus(delta + bias[:, None]).transpose(1, 2)  # (b, l, d)
        repeats = u.shape[1] // B.shape[1]
        B, C = (x.repeat_interleave(repeats, 1).permute(0, 3, 1, 2) for x in (B, C))
        h = pscan(torch.exp(step[..., None] * A), (step * u_t)[..., None] * B)  # (b, l, d, n)
        return ((h * C).sum(-1) + D * u_t).transpose(1, 2)

    return scan


@cache
def reference_scan() -> Scan | None:
    """Return mamba_ssm's selective_scan_ref, or None if it is not installed."""
    spec = importlib.util.find_spec("mamba_ssm")
    if spec is None or spec.submodule_search_locations is None:
        return None
    package = ModuleType("mamba_ssm")  # its own __init__ wants transformers and a CUDA build
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["mamba_ssm"] = package
    sys.modules.setdefault("selective_scan_cuda", ModuleType("selective_scan_cuda"))
    function = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_ref
    return lambda u, delta, A, B, C, D, bias: function(u, delta, A, B, C, D, None, bias, True)


def implementations(shape: tuple[int, ...], slow: bool) -> dict[str, Scan]:
    """Return what to time, by name; ``cpu`` comes first."""
    found: dict[str, Scan | None] = {
        "cpu": our_scan("cpu"),
        "torch": our_scan("torch"),
        "mambapy": mambapy_scan(),
        "loop": our_scan("reference"),
    }
    batch, dim, length, _, state = shape
    if slow or batch * dim * state * length**2 < SLOW_REFERENCE:  # its backward is quadratic
        found["selective_scan_ref"] = reference_scan()
    return {name: scan for name, scan in found.items() if scan is not None}


def make_inputs(shape: tuple[int, ...]) -> list[Tensor]:
    """Return random inputs that require gradients."""
    batch, dim, length, groups, state = shape
    torch.manual_seed(0)
    tensors = [
        torch.randn(batch, dim, length),
        torch.randn(batch, dim, length) - 2,
        -torch.rand(dim, state) - 0.1,
        torch.randn(batch, groups, state, length),
        torch.randn(batch, groups, state, length),
        torch.randn(dim),
        torch.randn(dim) * 0.1,
    ]
    return [t.requires_grad_() for t in tensors]


def passes(scan: Scan, inputs: list[Tensor], second: bool) -> dict[str, Callable[[], object]]:
    """Return the three things to time: forward, with gradient, Hessian-vector product."""
    weight = torch.randn_like(inputs[0])
    direction = [torch.randn_like(t) for t in inputs]

    def forward() -> Tensor:
        with torch.no_grad():
            return scan(*inputs)

    def gradient() -> tuple[Tensor, ...]:
        return torch.autograd.grad(scan(*inputs), inputs, weight)

    def product() -> tuple[Tensor, ...]:
        first = torch.autograd.grad(scan(*inputs).square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(first, inputs, direction)

    found: dict[str, Callable[[], object]] = {"forward": forward, "gradient": gradient}
    return found | ({"product": product} if second else {})


def measure(
    shape: tuple[int, ...], codes: list[str] | None, rounds: int, threads: int, slow: bool
) -> dict[tuple[str, str], list[float]]:
    """Return milliseconds by (implementation, pass), one number per round."""
    clock = time.process_time if threads == 1 else time.perf_counter
    inputs = make_inputs(shape)
    repeats = 50 if inputs[0].numel() < 10_000 else 1
    tasks = {
        (name, kind): work
        for name, scan in implementations(shape, slow).items()
        if codes is None or name in {"cpu", *codes}
        for kind, work in passes(scan, inputs, second=name in {"cpu", "torch"}).items()
    }
    times: dict[tuple[str, str], list[float]] = {key: [] for key in tasks}
    for number in range(rounds + 1):  # round 0 warms up
        for key, work in tasks.items():
            if times[key] and times[key][0] > PATIENCE * 1000:
                continue
            start = clock()
            for _ in range(repeats):
                work()
            elapsed = (clock() - start) * 1000 / repeats
            if number > 0 or elapsed > PATIENCE * 1000:
                times[key].append(elapsed)
    return times


def copy_bandwidth() -> float:
    """Return bytes per second read plus written by a large copy on one thread."""
    source, target = torch.zeros(1 << 26), torch.zeros(1 << 26)
    seconds = min(_seconds(lambda: target.copy_(source)) for _ in range(5))
    return 2 * source.nbytes / seconds


def exp_rate() -> float:
    """Return exponentials per second of the kernels' own exp on one thread."""
    import numba

    from clip_mamba.ops.scan_kernels import LANES, _exp, _load, _store

    @numba.njit(nogil=True)
    def run(x, y, times):  # type: ignore[no-untyped-def]
        for _ in range(times):
            for t in range(x.shape[0]):
                _store(y, t, _exp(_load(x, t)))

    x = -torch.rand(256, LANES).numpy()
    y = x.copy()
    run(x, y, 1)
    return 2000 * x.size / min(_seconds(lambda: run(x, y, 2000)) for _ in range(5))


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def roofline(shape: tuple[int, ...], bandwidth: float, rate: float) -> dict[str, float]:
    """Return the least milliseconds of forward and of forward with gradient."""
    batch, dim, length, groups, state = shape
    row, pair = 4 * batch * dim * length, 4 * batch * groups * state * length
    exps = batch * dim * length * (state + 1)  # one per state and one in softplus
    least = {"forward": (3 * row + 2 * pair, exps), "gradient": (8 * row + 6 * pair, 2 * exps)}
    return {k: 1000 * max(b / bandwidth, e / rate) for k, (b, e) in least.items()}


def print_shape(
    label: str, times: dict[tuple[str, str], list[float]], least: dict[str, float]
) -> None:
    """Print one shape's rows: medians, spread (half the range over the median), ratios."""
    median = {key: statistics.median(values) for key, values in times.items()}
    for name in dict.fromkeys(name for name, _ in times):
        cells = [label, name]
        for kind in ("forward", "gradient", "product"):
            if (name, kind) not in median:
                cells += ["–", "–"]
                continue
            value, values = median[name, kind], times[name, kind]
            spread = f" ±{50 * (max(values) - min(values)) / value:.0f}%" if values[1:] else ""
            cells += [f"{value:.3g}{spread}", f"{value / median['cpu', kind]:.2g}"]
        if name == "cpu":
            ratio = median["cpu", "product"] / median["cpu", "gradient"]
            floor = [f"{median['cpu', k] / least[k]:.1f}" for k in ("forward", "gradient")]
            cells.append(f"product/gradient {ratio:.2f}; over roofline {', '.join(floor)}")
        else:
            cells.append("")
        print("| " + " | ".join(cells) + " |", flush=True)


def print_sweep(rounds: int) -> None:
    """Print the Hessian-vector product's time by length, which should grow in proportion."""
    print("| (batch, dim, groups, state) | length | HVP ms | ns per element | against shortest |")
    print("|---|---|---|---|---|")
    for batch, dim, groups, state in ((4, 768, 4, 1), (4, 192, 1, 16)):
        works, times = {}, {length: [] for length in SWEEP}
        for length in SWEEP:
            inputs = make_inputs((batch, dim, length, groups, state))
            works[length] = passes(our_scan("cpu"), inputs, second=True)["product"]
            works[length]()
        for _ in range(rounds):
            for length, work in works.items():
                times[length].append(_seconds(work))
        each = {t: statistics.median(times[t]) * 1e9 / (batch * dim * t * state) for t in SWEEP}
        for length in SWEEP:
            ms = 1000 * statistics.median(times[length])
            print(
                f"| {batch, dim, groups, state} | {length} | {ms:.3g} | {each[length]:.3g} | "
                f"{each[length] / each[SWEEP[0]]:.2f} |",
                flush=True,
            )


def print_two_threads(names: list[str], rounds: int) -> None:
    """Print wall-clock milliseconds with one and with two threads, alternating, and the ratio."""
    print("| shape | pass | 1 thread ms | 2 threads ms | ratio |\n|---|---|---|---|---|")
    for name in names:
        for kind, work in passes(our_scan("cpu"), make_inputs(SHAPES[name]), second=True).items():
            times: dict[int, list[float]] = {1: [], 2: []}
            for number in range(rounds + 1):
                for threads, found in times.items():
                    torch.set_num_threads(threads)
                    start = time.perf_counter()
                    work()
                    if number:  # the first round warms up
                        found.append(1000 * (time.perf_counter() - start))
            one, two = (statistics.median(found) for found in times.values())
            print(f"| {name} | {kind} | {one:.3g} | {two:.3g} | {one / two:.2f} |", flush=True)


def print_memory() -> None:
    """Print the peak memory of forward and backward on shape i beyond its inputs."""
    small, inputs = make_inputs((1, 8, 300, 1, 1)), make_inputs(SHAPES["i"])
    weight = torch.randn_like(inputs[0])
    for given, gy in ((small, torch.randn_like(small[0])), (inputs, weight)):
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        before = _status("VmRSS")
        torch.autograd.grad(our_scan("cpu")(*given), given, gy)
    print(f"peak extra memory, forward and backward, shape i: {_status('VmHWM') - before:.0f} MB")
    print(f"of which y and the gradients of u and delta: {3 * weight.nbytes / 1e6:.0f} MB")


def _status(field: str) -> float:
    """Return a line of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(x for x in lines if x.startswith(field + ":"))
    return int(line.split()[1]) * 1024 / 1e6


def processor() -> str:
    """Return the processor's name."""
    try:
        text = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
        return next(x.split(":")[1].strip() for x in text.splitlines() if "Model name" in x)
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return platform.processor()


def set_allocator(choice: str, threads: int) -> None:
    """Start this program again with the allocator's settings, unless they are as wanted."""
    wanted = RETAINED if choice == "retained" else {}
    if any(os.environ.get(key) != wanted.get(key) for key in RETAINED):
        environment = {k: v for k, v in os.environ.items() if k not in RETAINED}
        environment |= {**wanted, "OMP_NUM_THREADS": str(threads)}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    torch.set_num_threads(threads)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--codes", nargs="*", help="which implementations, cpu always among them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--allocator", choices=("retained", "default"))
    parser.add_argument("--slow", action="store_true", help="selective_scan_ref on long shapes too")
    parser.add_argument("--memory", action="store_true", help="only the peak memory of shape i")
    parser.add_argument("--sweep", action="store_true", help="only the HVP's time by length")
    parser.add_argument("--two-threads", action="store_true", help="only one thread against two")
    return parser.parse_args()


def main() -> None:
    """Print what the command line asks for."""
    options = arguments()
    # The peak is read from the resident memory, which a retained heap would keep high.
    allocator = options.allocator or ("default" if options.memory else "retained")
    set_allocator(allocator, 2 if options.two_threads else options.threads)
    print(f"{processor()}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    print(f"{torch.get_num_threads()} thread(s), allocator {allocator}", flush=True)
    if options.memory:
        print_memory()
    elif options.sweep:
        print_sweep(options.rounds)
    elif options.two_threads:
        print_two_threads([s for s in options.shapes if s in {"i", "iii"}], options.rounds)
    else:
        print_table(options)


def print_table(options: argparse.Namespace) -> None:
    """Time every implementation on the chosen shapes."""
    bandwidth, rate = copy_bandwidth(), exp_rate()
    print(f"copy {bandwidth / 1e9:.1f} GB/s, exp {rate / 1e9:.2f} G/s\n")
    print("| shape | code | forward ms | /cpu | +gradient ms | /cpu | HVP ms | /cpu | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.shapes:
        shape = SHAPES[name]
        times = measure(shape, options.codes, options.rounds, options.threads, options.slow)
        print_shape(f"{name} {shape}", times, roofline(shape, bandwidth, rate))
    print(f"\npeak resident memory {_status('VmHWM') / 1000:.1f} GB, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
