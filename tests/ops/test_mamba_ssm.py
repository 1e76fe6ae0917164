"""Equality with mamba_ssm's own reference, where mamba_ssm is installed (CI installs it)."""

import importlib
import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from scan_inputs import scan_inputs

from clip_mamba.ops.selective_scan import selective_scan

if importlib.util.find_spec("mamba_ssm") is None:
    pytest.skip("mamba_ssm is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def selective_scan_ref():
    """Import the one module, past the package's ``__init__``, which wants transformers."""
    context = pytest.MonkeyPatch()
    spec = importlib.util.find_spec("mamba_ssm")
    package = ModuleType("mamba_ssm")
    package.__path__ = list(spec.submodule_search_locations)
    context.setitem(sys.modules, "mamba_ssm", package)
    if importlib.util.find_spec("selective_scan_cuda") is None:  # built without CUDA
        context.setitem(sys.modules, "selective_scan_cuda", ModuleType("selective_scan_cuda"))
    try:
        yield importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_ref
    finally:
        context.undo()
        for name in [n for n in sys.modules if n.startswith("mamba_ssm.")]:
            del sys.modules[name]


@pytest.mark.parametrize("backend", ["reference", "torch", "cpu"])
@pytest.mark.parametrize("shape", [(2, 8, 20, 4, 1), (2, 6, 131, 1, 16), (1, 4, 1, 2, 3)])
@pytest.mark.parametrize("extras", [True, False])
def test_equals_selective_scan_ref(selective_scan_ref, backend, shape, extras):
    inputs = scan_inputs(*shape, with_D=extras, with_bias=extras, dtype=torch.float32)
    given = [t for t in inputs if t is not None]
    u, delta, A, B, C, D, bias = inputs
    truth = selective_scan_ref(u, delta, A, B, C, D, None, bias, extras)
    found = selective_scan(*inputs, extras, backend=backend)
    torch.testing.assert_close(found, truth, rtol=1e-4, atol=2e-5)
    weight = torch.randn(truth.shape, generator=torch.Generator().manual_seed(5))
    pairs = zip(
        torch.autograd.grad(found, given, weight),
        torch.autograd.grad(truth, given, weight),
        strict=True,
    )
    for value, expected in pairs:
        torch.testing.assert_close(
            value, expected, rtol=0, atol=2e-5 * expected.abs().max().item() + 1e-6
        )
