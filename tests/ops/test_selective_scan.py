import itertools
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_inputs import NAMES, direction_like, scan_inputs
from torch import Tensor

from clip_mamba.ops import recurrence
from clip_mamba.ops import selective_scan as dispatch
from clip_mamba.ops.selective_scan import selective_scan

FAST = ["torch", "cpu"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def derivatives(inputs: list[Tensor | None], softplus: bool, backend: str) -> list[Tensor]:
    """Return y, the gradients of a nonlinear loss, and a Hessian-vector product."""
    given_ = [t for t in inputs if t is not None]
    y = selective_scan(*inputs, softplus, backend=backend)
    loss = (y.square() / (1 + y.square())).sum()
    gradients = torch.autograd.grad(loss, given_, create_graph=True)
    product = torch.autograd.grad(gradients, given_, direction_like(given_))
    return [y, *gradients, *product]


def assert_same(found: list[Tensor], truth: list[Tensor], tolerance: float) -> None:
    for value, expected in zip(found, truth, strict=True):
        assert value.shape == expected.shape
        assert value.dtype == expected.dtype
        scale = expected.abs().max().item() if expected.numel() else 0.0
        torch.testing.assert_close(value, expected, rtol=0, atol=tolerance * max(scale, 1e-3))


@pytest.mark.parametrize("backend", ["reference", *FAST])
@pytest.mark.parametrize(
    ("groups", "state", "extras", "softplus"),
    [(1, 1, True, True), (4, 16, True, True), (4, 1, False, False), (1, 16, False, True)],
)
def test_first_and_second_derivatives_are_right(backend, groups, state, extras, softplus):
    inputs = scan_inputs(1, 4, 3, groups, state, with_D=extras, with_bias=extras)

    def scan(*given_: Tensor) -> Tensor:
        return selective_scan(*given_, *([None] * (7 - len(given_))), softplus, backend=backend)

    given_ = [t for t in inputs if t is not None]
    assert torch.autograd.gradcheck(scan, given_)
    assert torch.autograd.gradgradcheck(scan, given_)


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(0, 3),
    width=st.one_of(st.integers(1, 11), st.sampled_from([16, 17, 35])),  # strips have 16
    groups=st.integers(1, 3),
    state=st.integers(1, 5),
    length=st.one_of(st.integers(1, 20), st.sampled_from([32, 49, 255, 256, 257, 300, 513])),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 99),
)
def test_any_shape_equals_the_reference(backend, batch, width, groups, state, length, flags, seed):
    with_D, with_bias, softplus = flags
    inputs = scan_inputs(
        *(batch, width * groups, length, groups, state),
        with_D=with_D,
        with_bias=with_bias,
        seed=seed,
    )
    truth = derivatives(inputs, softplus, "reference")
    assert_same(derivatives(inputs, softplus, backend), truth, 1e-10)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shape", [(2, 9, 300, 1, 3), (1, 8, 600, 2, 1), (3, 4, 1, 1, 16)])
def test_float32_stays_close_to_float64(backend, shape):
    single = scan_inputs(*shape, dtype=torch.float32)
    double = [t.detach().double().requires_grad_() for t in single]
    found = derivatives(single, True, backend)
    truth = [t.float() for t in derivatives(double, True, "reference")]
    assert_same(found, truth, 5e-6)


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_bfloat16_keeps_its_state_in_float32(backend):
    half = scan_inputs(2, 8, 200, 2, 4, dtype=torch.bfloat16)
    double = [t.detach().double() for t in half]
    y = selective_scan(*half, True, backend=backend)
    assert y.dtype == torch.bfloat16
    truth = selective_scan(*double, True, backend="reference")
    torch.testing.assert_close(y.double(), truth, rtol=2**-8, atol=1e-4)  # one rounding of y
    grads = torch.autograd.grad(y.float().sum(), half)
    assert all(g.dtype == torch.bfloat16 and g.isfinite().all() for g in grads)


@pytest.mark.parametrize("backend", FAST)
def test_autocast_does_not_touch_the_state(backend):
    inputs = scan_inputs(2, 8, 150, 2, 4, dtype=torch.float32)
    plain = selective_scan(*inputs, True, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(selective_scan(*inputs, True, backend=backend), plain)


@pytest.mark.parametrize("backend", FAST)
def test_third_derivative_equals_the_reference(backend):
    inputs = scan_inputs(2, 6, 9, 2, 3)

    def third(backend: str) -> tuple[Tensor, ...]:
        y = selective_scan(*inputs, True, backend=backend)
        first = torch.autograd.grad((y**3).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(first, inputs, direction_like(inputs), create_graph=True)
        return torch.autograd.grad(second, inputs, direction_like(inputs, 2))

    assert_same(list(third(backend)), list(third("reference")), 1e-10)


@pytest.mark.parametrize("backend", FAST)
def test_third_derivative_by_differences(backend):
    inputs = scan_inputs(1, 2, 4, 1, 2)

    def gradient(*given_: Tensor) -> tuple[Tensor, ...]:
        y = selective_scan(*given_, True, backend=backend)
        return torch.autograd.grad((y**2).sum(), given_, create_graph=True)

    assert torch.autograd.gradgradcheck(gradient, inputs, atol=1e-4)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("wanted", NAMES)
def test_gradient_of_one_input_alone(backend, wanted):
    inputs = scan_inputs(2, 6, 5, 2, 3)
    for name, tensor in zip(NAMES, inputs, strict=True):
        tensor.requires_grad_(name == wanted)
    one = inputs[NAMES.index(wanted)]

    def both(backend: str) -> list[Tensor]:
        y = selective_scan(*inputs, True, backend=backend)
        (first,) = torch.autograd.grad((y**3).sum(), one, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), one, create_graph=True)
        (third,) = torch.autograd.grad((second**2).sum(), one)
        return [first, second, third]

    assert_same(both(backend), both("reference"), 1e-10)


@pytest.mark.parametrize("backend", FAST)
def test_strided_inputs(backend):
    inputs = scan_inputs(2, 8, 12, 2, 3)
    strided = [
        torch.stack([t.detach(), t.detach()], -1)[..., 0].transpose(0, -1).contiguous()
        for t in inputs
    ]
    strided = [t.transpose(0, -1).requires_grad_() for t in strided]
    assert not strided[0].is_contiguous()
    truth = derivatives(inputs, True, "reference")
    assert_same(derivatives(strided, True, backend), truth, 1e-10)


def test_nothing_with_a_state_axis_is_kept_along_the_whole_length():
    """The gradient and the curvature recompute h from the starts of chunks."""
    batch, dim, length, state = 2, 8, 600, 16
    inputs = scan_inputs(batch, dim, length, 1, state)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = selective_scan(*inputs, True, backend="cpu")
        torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
    assert max(kept) <= max(t.numel() for t in inputs)
    assert max(kept) < batch * dim * length * state / 4


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_three_axis_B_and_C_mean_one_group(backend):
    u, delta, A, B, C, *rest = scan_inputs(2, 6, 5, 1, 3)
    grouped = selective_scan(u, delta, A, B, C, *rest, backend=backend)
    plain = selective_scan(u, delta, A, B[:, 0], C[:, 0], *rest, backend=backend)
    assert torch.equal(plain, grouped)


@pytest.mark.parametrize("backend", ["reference", *FAST])
@pytest.mark.parametrize("shape", [(0, 4, 5, 2, 3), (2, 4, 0, 2, 3), (2, 4, 1, 2, 3)])
def test_empty_batch_and_shortest_lengths(backend, shape):
    inputs = scan_inputs(*shape)
    y = selective_scan(*inputs, True, backend=backend)
    assert y.shape == shape[:3]
    grads = torch.autograd.grad(y.sum(), inputs, allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in grads)


@pytest.mark.parametrize("backend", FAST)
def test_nan_is_not_swallowed(backend):
    inputs = [t.detach().clone() for t in scan_inputs(1, 8, 40, 1, 2, dtype=torch.float32)]
    inputs[1][0, 3, 20] = torch.nan
    y = selective_scan(*inputs, True, backend=backend)
    assert y[0, 3, 20:].isnan().all()
    assert y[0, 3, :20].isfinite().all()
    assert y[0, :3].isfinite().all()


@pytest.mark.parametrize("backend", FAST)
def test_large_steps_forget_and_zero_steps_remember_exactly(backend):
    one = torch.ones(1, 8, 400)
    delta = torch.zeros(1, 8, 400)
    delta[:, :, 0] = 1.0
    A, B = -torch.ones(8, 1), torch.ones(1, 1, 1, 400)
    assert (selective_scan(one, delta, A, B, B, backend=backend) == 1).all()  # exp(0) is 1
    delta[:, :, 200] = 1e6
    y = selective_scan(one, delta, A, B, B, backend=backend)
    assert (y[:, :, 200:] == 1e6).all()


@pytest.mark.parametrize(("size", "reverse"), itertools.product([1, 15, 16, 37, 100], [0, 1]))
def test_chunked_recurrence_equals_the_loop(size, reverse):
    rng = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, size, 3, generator=rng, dtype=torch.float64)
    loop = recurrence._sequential(a, b, bool(reverse))
    torch.testing.assert_close(recurrence._chunked(a, b, bool(reverse)), loop)


WRONG = [
    ({"u": torch.zeros(2, 4)}, r"u must be \(batch, dim, length\)"),
    ({"delta": torch.zeros(2, 4, 6)}, r"delta must be .* = \(2, 4, 5\)"),
    ({"A": torch.zeros(4)}, r"A must be \(dim, state\)"),
    ({"A": torch.zeros(5, 3)}, r"A must be \(dim, state\) = \(4, 3\)"),
    ({"B": torch.zeros(2, 2, 5, 3)}, r"B must be \(batch, groups, state, length\)"),
    ({"B": torch.zeros(2, 3, 3, 5)}, r"B has 3 groups, which do not divide dim 4"),
    ({"C": torch.zeros(2, 1, 3, 5)}, r"C must have the groups of B \(2\)"),
    ({"D": torch.zeros(3)}, r"D must be \(dim,\) = \(4,\)"),
    ({"delta_bias": torch.zeros(4, 1)}, r"delta_bias must be \(dim,\)"),
    ({"u": torch.zeros(2, 4, 5, dtype=torch.int64)}, "u must be one of float32"),
    ({"A": torch.zeros(4, 3, dtype=torch.complex64)}, "A must be one of .*real-valued"),
    ({"B": None}, "B must be a tensor, got NoneType"),
    ({"C": torch.zeros(2, 2, 3, 5, device="meta")}, "C is on meta but u is on cpu"),
    ({"backend": "troch"}, "Unknown backend 'troch'. Did you mean 'torch'"),
    ({"backend": "cuda"}, "needs cuda tensors but u is on 'cpu'"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_bad_arguments_are_named(change, message):
    arguments = dict(zip(NAMES, scan_inputs(2, 4, 5, 2, 3, dtype=torch.float32), strict=True))
    with pytest.raises(ValueError, match=message):
        selective_scan(**(arguments | change))


def test_auto_falls_back_to_torch_with_one_warning(monkeypatch):
    dispatch._importable.cache_clear()
    monkeypatch.setattr(dispatch.importlib.util, "find_spec", lambda name: None)
    with pytest.warns(UserWarning, match="numba is not installed.*pip install numba"):
        assert dispatch.choose_backend("cpu") == "torch"
    with pytest.warns(UserWarning, match="mamba_ssm is not installed"):
        assert dispatch.choose_backend("cuda") == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dispatch.choose_backend("cpu") == "torch"
        assert dispatch.choose_backend("mps") == "torch"
    dispatch._importable.cache_clear()


def test_auto_prefers_the_fast_backends_unless_curvature_is_needed(monkeypatch):
    monkeypatch.setattr(dispatch, "_importable", lambda name, install: True)
    assert dispatch.choose_backend("cpu") == "cpu"
    assert dispatch.choose_backend("cuda") == "cuda"
    with dispatch.twice_differentiable(), dispatch.twice_differentiable():
        assert dispatch.choose_backend("cuda") == "torch"
        assert dispatch.choose_backend("cpu") == "cpu"
    assert dispatch.choose_backend("cuda") == "cuda"
