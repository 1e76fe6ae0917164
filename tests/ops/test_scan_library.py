"""The scan inside torch.compile: operators with fake kernels, no graph break, honest limits."""

import pytest
import torch
from scan_inputs import scan_inputs

from clip_mamba.ops import scan_library
from clip_mamba.ops.selective_scan import selective_scan


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("length", [1, 7, 300])
@pytest.mark.parametrize("softplus", [True, False])
def test_operators_keep_their_promises(length, softplus):
    inputs = scan_inputs(2, 4, length, 2, 3)
    torch.library.opcheck(scan_library.scan, (softplus, *inputs))
    fixed = [t.detach() for t in inputs]
    y, starts = scan_library.scan(softplus, *fixed)
    gy = torch.randn_like(y).requires_grad_()
    torch.library.opcheck(scan_library.gradient, (softplus, starts, gy, *inputs))
    direction = [torch.randn_like(t) for t in fixed]
    torch.library.opcheck(
        scan_library.curvature, (softplus, starts, gy.detach(), *fixed, direction)
    )


def test_fake_kernels_know_the_chunks():
    """Past some 4,000 steps there are fewer chunks than length / MAX_CHUNK: shapes must agree."""
    inputs = [t.detach() for t in scan_inputs(1, 2, 4700, 1, 1)]
    torch.library.opcheck(scan_library.scan, (True, *inputs), test_utils=["test_faketensor"])


def test_operators_have_two_derivatives_and_refuse_a_third():
    inputs = scan_inputs(1, 4, 3, 2, 2)

    def scan(*tensors):
        return scan_library.scan(True, *tensors)[0]

    assert torch.autograd.gradcheck(scan, inputs)
    assert torch.autograd.gradgradcheck(scan, inputs)
    first = torch.autograd.grad((scan(*inputs) ** 2).sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        torch.autograd.grad(second[0].sum(), inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("extras", [True, False])
def test_compiled_in_one_graph_and_equal(dtype, extras):
    inputs = scan_inputs(2, 8, 20, 2, 3, with_D=extras, with_bias=extras, dtype=dtype)
    given = [t for t in inputs if t is not None]
    compiled = torch.compile(selective_scan, fullgraph=True, backend="aot_eager")
    results = []
    for scan in (selective_scan, compiled):
        y = scan(*inputs, True)
        assert y.dtype == dtype
        results.append([y, *torch.autograd.grad(y.float().square().sum(), given)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_other_backends_stay_outside_the_graph(backend):
    inputs = scan_inputs(1, 4, 5, 2, 3)
    compiled = torch.compile(lambda *a: 2 * selective_scan(*a, True, backend), backend="eager")
    torch.testing.assert_close(compiled(*inputs), 2 * selective_scan(*inputs, True, backend))


def test_curvature_of_compiled_code_is_refused_not_wrong():
    inputs = scan_inputs(1, 4, 5, 2, 3)
    compiled = torch.compile(selective_scan, fullgraph=True, backend="aot_eager")
    gradients = torch.autograd.grad(compiled(*inputs).square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        torch.autograd.grad(gradients[0].sum(), inputs)
