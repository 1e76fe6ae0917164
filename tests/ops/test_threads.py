"""Threads, processes and the compilation cache of the CPU backend."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from scan_inputs import scan_inputs

from clip_mamba.ops import threads
from clip_mamba.ops.selective_scan import selective_scan

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def restore_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def results(shape=(2, 24, 300, 1, 3)) -> list[torch.Tensor]:
    inputs = scan_inputs(*shape, dtype=torch.float32)
    y = selective_scan(*inputs, True, backend="cpu")
    grads = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
    return [y, *grads, *torch.autograd.grad(sum(g.square().sum() for g in grads), inputs)]


@pytest.mark.parametrize("shape", [(2, 24, 300, 1, 3), (1, 40, 20, 1, 2), (1, 8, 5, 4, 1)])
def test_any_number_of_threads_gives_the_same(shape):
    torch.set_num_threads(1)
    alone = results(shape)
    for count in (2, 3, 7):
        torch.set_num_threads(count)
        for found, expected in zip(results(shape), alone, strict=True):
            scale = expected.abs().max().item()
            torch.testing.assert_close(found, expected, rtol=0, atol=3e-6 * scale)
        assert torch.get_num_threads() == count  # nobody changed it behind torch's back


def test_threads_may_call_at_once():
    torch.set_num_threads(2)
    expected = results()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: results(), range(12)):
            assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True))


def test_errors_in_workers_are_raised():
    torch.set_num_threads(2)

    def work(first: int, last: int) -> None:
        if first:
            raise KeyError("from the worker")

    with pytest.raises(KeyError, match="from the worker"):
        threads.split_work(work, 2)


def _child(queue, count: int) -> None:
    torch.set_num_threads(count)
    queue.put([t.detach().numpy() for t in results()])


@pytest.mark.parametrize("count", [1, 2])
def test_works_after_fork(count):
    torch.set_num_threads(1)  # torch's own OpenMP pool does not survive a fork
    threads.split_work(lambda first, last: None, 1)
    expected = results()
    pool = threads._workers(1)  # so that the parent has threads to lose
    pool.submit(lambda: None).result()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue, count))
    child.start()
    found = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e.detach().numpy(), atol=3e-6 * e.abs().max().item())


class ScanDataset(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return results()[0].detach()


def test_works_in_data_loader_workers():
    torch.set_num_threads(1)
    expected = results()[0].detach()
    loader = torch.utils.data.DataLoader(ScanDataset(), num_workers=2, batch_size=None)
    assert all(torch.equal(y, expected) for y in loader)


IMPORT = "from clip_mamba.ops import scan_kernels as k; print(type(k.forward._cache).__name__)"


def test_install_without_a_writable_folder_still_imports(tmp_path):
    """Neither the package's folder nor the home folder can be written: no disk cache, no error."""
    package = tmp_path / "clip_mamba"
    (package / "ops").mkdir(parents=True)
    for file in ("scan_kernels.py", "compilation.py", "__init__.py"):
        shutil.copy(ROOT / "clip_mamba/ops" / file, package / "ops" / file)
    # A file where the cache folders would be stops root as well, unlike a read-only mode.
    (package / "ops" / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NUMBA_"))}
    environment |= {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home")}
    run = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "NullCache"


def test_the_library_works_without_numba():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'numba' else find(n, *a)\n"
        "import torch; from clip_mamba.ops.selective_scan import selective_scan\n"
        "x = torch.ones(1, 2, 3); s = torch.ones(1, 1, 1, 3)\n"
        "print(selective_scan(x, x, -torch.ones(2, 1), s, s).shape)\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "torch.Size([1, 2, 3])" in run.stdout, run.stderr
    assert "numba is not installed" in run.stderr


FIRST_CALL = """
import time, torch
torch.set_num_threads(1)
x = torch.ones(1, 8, 3, requires_grad=True)
A, B = -torch.ones(8, 2), torch.ones(1, 1, 2, 3)
from clip_mamba.ops.selective_scan import selective_scan
start = time.process_time()
y = selective_scan(x, x, A, B, B, delta_softplus=True, backend="cpu")
(g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
torch.autograd.grad(g.sum(), x)
print(time.process_time() - start)
"""


def test_only_the_first_process_compiles(tmp_path):
    """Forward, gradient and curvature: at most 60 s of compilation once, then under one second."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    seconds = []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", FIRST_CALL],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        seconds.append(float(run.stdout))
    assert 1 < seconds[0] < 60  # it did compile
    assert seconds[1] < 1
