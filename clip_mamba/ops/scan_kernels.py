"""The selective scan's fused CPU kernels: forward, gradient and gradient of the gradient.

Letters as in :mod:`clip_mamba.ops.scan_reference`. Arrays come flattened: u, delta, y and their
kin are (batch * dim, length), B and C (batch * groups, state, length), A (dim, state).

How the work is cut. A *strip* is up to eight channels of one (batch, group) pair, walked along
time in chunks that fit the first-level cache. All that is independent between time steps (the
exponential above all) runs over contiguous time and vectorises; only h = a h + b is left to a
loop over time, and there the eight channels hide the latency of one multiply-add. The forward
keeps h at the starts of chunks; the other kernels recompute it from there.

Names: ``dt`` is the step size Delta, ``x`` is Delta u, ``a`` is exp(Delta A), ``g*`` is the
gradient of a loss by *, and ``t_*`` is the tangent (the dot) of * along a direction. The third
kernel is the second one carried along a direction (dual numbers), which by the symmetry of the
Hessian is the gradient of the gradient.

Everything compiled stands in this one file because numba's disk cache looks only at the file of
the outermost function to decide whether it is stale. Mind that in numba a literal times a
float32 is a float64: constants come from the array's type.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

ROWS = 8  # channels in a strip; _run and _run_back spell them out
MAX_CHUNK = 256  # time steps in a chunk; 128 took 9 to 30 % longer on long sequences
_EXACT = {"contract", "nsz"}
_SUMS = {"contract", "nsz", "reassoc"}  # lets sums over time vectorise
_LN2 = math.log(2)

_inline = numba.njit(nogil=True, forceinline=True, fastmath=_EXACT, error_model="numpy")
_inline_sum = numba.njit(nogil=True, forceinline=True, fastmath=_SUMS, error_model="numpy")
_at = np.uintp  # an unsigned index needs no test for "from the end", which would not vectorise


def _kernel(function: Callable) -> Callable:
    """Compile without the interpreter lock, and on disk where there is a place for it.

    Args:
        function: The kernel.

    Returns:
        The compiled kernel.
    """
    try:
        return numba.njit(nogil=True, cache=True, fastmath=_EXACT, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        return _inline(function)


def chunk_size(length: int) -> int:
    """Return the time steps of a chunk: as few chunks as fit, nearly equal, in whole vectors.

    Args:
        length: Time steps of the whole sequence.

    Returns:
        A number from 1 to ``MAX_CHUNK``.
    """
    chunks = max(1, math.ceil(length / MAX_CHUNK))
    return max(1, min(length, math.ceil(length / chunks / 16) * 16))


# --- Elementary functions as polynomials, because calls into libm do not vectorise -----------


class _Constants:
    """The numbers of the elementary functions in one floating-point type."""

    def __init__(self, real: type, integer: type, ln2_high: float, ln2_low: float) -> None:
        single = real is np.float32
        self.real, self.integer = real, integer
        # The high part has few bits, so that its product with the exponent is exact.
        self.ln2_high, self.ln2_low, self.log2e = real(ln2_high), real(ln2_low), real(1 / _LN2)
        self.taylor = tuple(real(1 / math.factorial(k)) for k in range(7 if single else 13, 0, -1))
        self.atanh = tuple(real(2 / (2 * k + 1)) for k in range(7 if single else 16, -1, -1))
        self.bias = integer(np.finfo(real).maxexp - 1)
        self.mantissa = integer(np.finfo(real).nmant)
        self.largest = real(87 if single else 708)


_SINGLE = _Constants(np.float32, np.int32, 0.693359375, -2.12194440054690583e-4)
_DOUBLE = _Constants(np.float64, np.int64, 6.93147180369123816490e-01, 1.90821492927058770002e-10)


def _exp(x: Any) -> Any:
    """e**x, exactly 1 at 0; the argument is clamped to where the result is a normal number."""


def _softplus(x: Any) -> Any:
    """log(1 + e**x), and x itself above 20, as torch has it."""


def _sigmoid(x: Any) -> Any:
    """The derivative of _softplus."""


@intrinsic
def _power_of_two(typing_context: Any, n: Any) -> Any:
    """Return 2**n for a whole number n held in a float, by writing the exponent's bits.

    In LLVM's own words, because numba widens 32-bit integers and that halves the vectors.
    """
    single = n == types.float32

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32 if single else 64)
        whole = builder.fptosi(arguments[0], integer)
        biased = builder.add(whole, ir.Constant(integer, 127 if single else 1023))
        bits = builder.shl(biased, ir.Constant(integer, 23 if single else 52))
        return builder.bitcast(bits, ir.FloatType() if single else ir.DoubleType())

    return n(n), build


def _make_exp(k: _Constants) -> Callable:
    log2e, high, low, largest = k.log2e, k.ln2_high, k.ln2_low, k.largest
    half, one, c, terms = k.real(0.5), k.real(1), k.taylor, len(k.taylor)

    def exp(x):  # type: ignore[no-untyped-def]
        x = largest if x > largest else x
        x = -largest if x < -largest else x  # comparisons that let NaN through
        n = np.floor(x * log2e + half)
        r = (x - n * high) - n * low
        p = c[0]
        for i in range(1, terms):
            p = p * r + c[i]
        return (p * r + one) * _power_of_two(n)  # type: ignore[call-arg]

    return exp


def _make_softplus(k: _Constants) -> Callable:
    zero, two, twenty, c, terms = k.real(0), k.real(2), k.real(20), k.atanh, len(k.atanh)

    def softplus(x):  # type: ignore[no-untyped-def]
        z = _exp(-abs(x))
        s = z / (two + z)  # log(1 + z) = 2 atanh(z / (2 + z)), and s is at most 1/3
        q = s * s
        p = c[0]
        for i in range(1, terms):
            p = p * q + c[i]
        return x if x > twenty else (x if x > zero else zero) + s * p

    return softplus


def _make_sigmoid(k: _Constants) -> Callable:
    zero, one, twenty = k.real(0), k.real(1), k.real(20)

    def sigmoid(x):  # type: ignore[no-untyped-def]
        z = _exp(-abs(x))
        s = (one if x > zero else z) / (one + z)
        return one if x > twenty else s

    return sigmoid


def _register(stub: Callable, make: Callable[[_Constants], Callable]) -> None:
    """Give a stub its single and double precision implementations.

    Args:
        stub: The function that kernels call.
        make: Builds an implementation from the constants of a type.
    """

    @overload(stub, strict=False, jit_options={"fastmath": _EXACT})
    def choose(x):  # type: ignore[no-untyped-def]
        return make({types.float32: _SINGLE, types.float64: _DOUBLE}[x])


_register(_exp, _make_exp)
_register(_softplus, _make_softplus)
_register(_sigmoid, _make_sigmoid)


# --- The recurrence, the one loop that is sequential in time --------------------------------


@_inline
def _run(a, h, m):  # type: ignore[no-untyped-def]
    """h[t+1] += a[t] h[t] for t = 0 .. m-1, in all rows at once."""
    h0, h1, h2, h3, h4, h5, h6, h7 = (
        h[0, 0],
        h[1, 0],
        h[2, 0],
        h[3, 0],
        h[4, 0],
        h[5, 0],
        h[6, 0],
        h[7, 0],
    )
    for t in range(m):
        h0 = a[0, t] * h0 + h[0, t + 1]
        h1 = a[1, t] * h1 + h[1, t + 1]
        h2 = a[2, t] * h2 + h[2, t + 1]
        h3 = a[3, t] * h3 + h[3, t + 1]
        h4 = a[4, t] * h4 + h[4, t + 1]
        h5 = a[5, t] * h5 + h[5, t + 1]
        h6 = a[6, t] * h6 + h[6, t + 1]
        h7 = a[7, t] * h7 + h[7, t + 1]
        h[0, t + 1] = h0
        h[1, t + 1] = h1
        h[2, t + 1] = h2
        h[3, t + 1] = h3
        h[4, t + 1] = h4
        h[5, t + 1] = h5
        h[6, t + 1] = h6
        h[7, t + 1] = h7


@_inline
def _run_back(a, g, m):  # type: ignore[no-untyped-def]
    """g[t] += a[t+1] g[t+1] for t = m-1 .. 0, in all rows at once."""
    g0, g1, g2, g3, g4, g5, g6, g7 = (
        g[0, m],
        g[1, m],
        g[2, m],
        g[3, m],
        g[4, m],
        g[5, m],
        g[6, m],
        g[7, m],
    )
    for i in range(m):
        t = m - 1 - i
        g0 = a[0, t + 1] * g0 + g[0, t]
        g1 = a[1, t + 1] * g1 + g[1, t]
        g2 = a[2, t + 1] * g2 + g[2, t]
        g3 = a[3, t + 1] * g3 + g[3, t]
        g4 = a[4, t + 1] * g4 + g[4, t]
        g5 = a[5, t + 1] * g5 + g[5, t]
        g6 = a[6, t + 1] * g6 + g[6, t]
        g7 = a[7, t + 1] * g7 + g[7, t]
        g[0, t] = g0
        g[1, t] = g1
        g[2, t] = g2
        g[3, t] = g3
        g[4, t] = g4
        g[5, t] = g5
        g[6, t] = g6
        g[7, t] = g7


# --- Pieces that run over the m time steps of row r, and vectorise --------------------------
# Each is short and touches few arrays: LLVM gives up on a loop that needs many overlap checks,
# and numba leaves costly reference counts in helpers with many array arguments.


@_inline
def _steps(delta, bias, softplus, row, t0, m, r, dt):  # type: ignore[no-untyped-def]
    """Dt = softplus(delta + bias)."""
    if softplus:
        for t in range(m):
            dt[r, t] = _softplus(delta[row, _at(t0 + t)] + bias)
    else:
        for t in range(m):
            dt[r, t] = delta[row, _at(t0 + t)] + bias


@_inline
def _scale_row(p, q, row, t0, m, r, out):  # type: ignore[no-untyped-def]
    """Out = p q, with p from the strip and q from the whole."""
    for t in range(m):
        out[r, t] = p[r, t] * q[row, _at(t0 + t)]


@_inline
def _factors(A, m, r, dt, a):  # type: ignore[no-untyped-def]
    """A = exp(dt A)."""
    for t in range(m):
        a[r, t] = _exp(dt[r, t] * A)


@_inline
def _terms(B, pair, k, t0, m, r, x, h):  # type: ignore[no-untyped-def]
    """h[t+1] = x B, what enters the state at t."""
    for t in range(m):
        h[r, t + 1] = x[r, t] * B[pair, k, _at(t0 + t)]


@_inline
def _seed(C, pair, k, gy, row, t0, m, r, g):  # type: ignore[no-untyped-def]
    """G = C gy, what y's gradient sends into the state at t."""
    for t in range(m):
        g[r, t] = C[pair, k, _at(t0 + t)] * gy[row, _at(t0 + t)]


@_inline
def _add_output(C, pair, k, t0, m, r, h, out):  # type: ignore[no-untyped-def]
    """Out += C h[t+1]."""
    for t in range(m):
        out[r, t] += C[pair, k, _at(t0 + t)] * h[r, t + 1]


@_inline
def _add_whole(D, u, row, t0, m, r, out):  # type: ignore[no-untyped-def]
    """Out += D u for a number D, with u from the whole."""
    for t in range(m):
        out[r, t] += D * u[row, _at(t0 + t)]


@_inline
def _add_scaled(A, m, r, p, out):  # type: ignore[no-untyped-def]
    """Out += A p for a number A."""
    for t in range(m):
        out[r, t] += A * p[r, t]


@_inline
def _add_product(B, pair, k, t0, m, r, g, out):  # type: ignore[no-untyped-def]
    """Out += B g, with B from the whole."""
    for t in range(m):
        out[r, t] += B[pair, k, _at(t0 + t)] * g[r, t]


@_inline
def _add_by_B(m, r, g, x, part, pair, k, t0, gB):  # type: ignore[no-untyped-def]
    """GB += g x."""
    for t in range(m):
        gB[part, pair, k, _at(t0 + t)] += g[r, t] * x[r, t]


@_inline
def _add_by_C(m, r, h, gy, row, part, pair, k, t0, gC):  # type: ignore[no-untyped-def]
    """GC += gy h[t+1]."""
    for t in range(m):
        gC[part, pair, k, _at(t0 + t)] += gy[row, _at(t0 + t)] * h[r, t + 1]


@_inline
def _by_exponent(m, r, a, h, g, w):  # type: ignore[no-untyped-def]
    """W = g a h[t], the gradient by the exponent dt A."""
    for t in range(m):
        w[r, t] = g[r, t] * a[r, t] * h[r, t]


@_inline_sum
def _dot(m, r, p, q):  # type: ignore[no-untyped-def]
    """Return the sum of p q."""
    total = p.dtype.type(0)
    for t in range(m):
        total += p[r, t] * q[r, t]
    return total


@_inline_sum
def _dot_whole(p, q, row, t0, m):  # type: ignore[no-untyped-def]
    """Return the sum of p q, both from the whole."""
    total = p.dtype.type(0)
    for t in range(m):
        total += p[row, _at(t0 + t)] * q[row, _at(t0 + t)]
    return total


@_inline
def _write_gu(D, gy, row, t0, m, r, gx, dt, gu):  # type: ignore[no-untyped-def]
    """Gu = gx dt + D gy."""
    for t in range(m):
        gu[row, _at(t0 + t)] = gx[r, t] * dt[r, t] + D * gy[row, _at(t0 + t)]


@_inline
def _add_product_whole(m, r, p, q, row, t0, out):  # type: ignore[no-untyped-def]
    """Out += p q, into the whole."""
    for t in range(m):
        out[row, _at(t0 + t)] += p[r, t] * q[r, t]


@_inline
def _add_row(p, q, row, t0, m, r, out):  # type: ignore[no-untyped-def]
    """Out += p q, with p from the strip and q from the whole."""
    for t in range(m):
        out[r, t] += p[r, t] * q[row, _at(t0 + t)]


@_inline
def _through_softplus(delta, bias, softplus, row, t0, m, r, gdt):  # type: ignore[no-untyped-def]
    """Gdt *= softplus'(delta + bias)."""
    if softplus:
        for t in range(m):
            gdt[r, t] *= _sigmoid(delta[row, _at(t0 + t)] + bias)


@_inline_sum
def _store(m, r, p, row, t0, out):  # type: ignore[no-untyped-def]
    """Return the sum of p after writing p to the whole."""
    total = p.dtype.type(0)
    for t in range(m):
        out[row, _at(t0 + t)] = p[r, t]
        total += p[r, t]
    return total


# The same pieces carried along a direction.


@_inline
def _t_steps(delta, bias, t_delta, t_bias, softplus, row, t0, m, r, t_dt):  # type: ignore[no-untyped-def]
    """t_dt, the tangent of dt."""
    for t in range(m):
        t_dt[r, t] = t_delta[row, _at(t0 + t)] + t_bias
    _through_softplus(delta, bias, softplus, row, t0, m, r, t_dt)


@_inline
def _t_factors(A, t_A, m, r, dt, t_dt, a, t_a):  # type: ignore[no-untyped-def]
    """t_a = a (t_dt A + dt t_A)."""
    for t in range(m):
        t_a[r, t] = a[r, t] * (t_dt[r, t] * A + dt[r, t] * t_A)


@_inline
def _t_terms(B, t_B, pair, k, t0, m, r, x, t_x, t_h):  # type: ignore[no-untyped-def]
    """t_h[t+1] = t_x B + x t_B, the direct part of what enters t_h at t."""
    _terms(B, pair, k, t0, m, r, t_x, t_h)
    for t in range(m):
        t_h[r, t + 1] += x[r, t] * t_B[pair, k, _at(t0 + t)]


@_inline
def _add_shifted(m, r, p, q, ahead, out):  # type: ignore[no-untyped-def]
    """out[t + 1 - ahead] += p[t + ahead] q[t + ahead]."""
    for t in range(m):
        out[r, t + 1 - ahead] += p[r, t + ahead] * q[r, t + ahead]


@_inline
def _t_by_exponent(m, r, a, t_a, h, t_h, g, t_g, t_w):  # type: ignore[no-untyped-def]
    """t_w = t_g a h + g t_a h + g a t_h, the tangent of w."""
    for t in range(m):
        t_w[r, t] = t_g[r, t] * a[r, t] * h[r, t]
    for t in range(m):
        t_w[r, t] += g[r, t] * (t_a[r, t] * h[r, t] + a[r, t] * t_h[r, t])


@_inline
def _add_curvature(delta, bias, t_delta, t_bias, row, t0, m, r, gdt, t_gdt):  # type: ignore[no-untyped-def]
    """t_gdt = t_gdt s + gdt s', for s = softplus'(delta + bias) and its tangent s'."""
    one = delta.dtype.type(1)
    for t in range(m):
        s = _sigmoid(delta[row, _at(t0 + t)] + bias)
        slope = s * (one - s) * (t_delta[row, _at(t0 + t)] + t_bias)
        t_gdt[r, t] = t_gdt[r, t] * s + gdt[r, t] * slope


@_inline
def _strip(chunk, like):  # type: ignore[no-untyped-def]
    """Return zeros for a strip of one chunk and one step more."""
    return np.zeros((ROWS, chunk + 1), like.dtype)


# --- Forward ---------------------------------------------------------------------------------


@_kernel
def forward(first, last, groups, softplus, chunk, u, delta, A, B, C, D, bias, y, starts):  # type: ignore[no-untyped-def]
    """Compute y for strips first .. last-1, and h at the starts of chunks 1, 2, ...

    ``starts`` is (chunks - 1, batch * dim, state), or empty along its first axis where no
    gradient will be asked.
    """
    dim, state = A.shape
    length = u.shape[1]
    width = dim // groups
    strips = (width + ROWS - 1) // ROWS
    chunks = (length + chunk - 1) // chunk
    dt, x, out = _strip(chunk, u), _strip(chunk, u), _strip(chunk, u)
    a, h = _strip(chunk, u), _strip(chunk, u)
    last_h = np.zeros((ROWS, state), u.dtype)
    for strip in range(first, last):
        pair, base = strip // strips, strip % strips * ROWS
        active = min(ROWS, width - base)
        channel = pair % groups * width + base
        row = pair // groups * dim + channel
        a[active:] = 0
        last_h[:] = 0
        for c in range(chunks):
            t0 = c * chunk
            m = min(chunk, length - t0)
            for r in range(active):
                _steps(delta, bias[channel + r], softplus, row + r, t0, m, r, dt)
                _scale_row(dt, u, row + r, t0, m, r, x)
                out[r] = 0
                _add_whole(D[channel + r], u, row + r, t0, m, r, out)
            for k in range(state):
                for r in range(active):
                    _factors(A[channel + r, k], m, r, dt, a)
                    _terms(B, pair, k, t0, m, r, x, h)
                    h[r, 0] = last_h[r, k]
                    if c > 0 and starts.shape[0] > 0:
                        starts[c - 1, row + r, k] = last_h[r, k]
                _run(a, h, m)
                for r in range(active):
                    last_h[r, k] = h[r, m]
                    _add_output(C, pair, k, t0, m, r, h, out)
            for r in range(active):
                _store(m, r, out, row + r, t0, y)


# --- Gradient --------------------------------------------------------------------------------


@_kernel
def gradient(  # type: ignore[no-untyped-def]
    first, last, parts, groups, softplus, chunk, starts, gy,
    u, delta, A, B, C, D, bias, gu, gdelta, gA, gB, gC, gD, gbias,
):  # fmt: skip
    """Compute all gradients for units first .. last-1.

    A unit is every parts-th strip of a (batch, group) pair, so that each adds to its own B and C
    gradients: gB, gC are (parts, batch * groups, state, length) and start as zeros; gA is
    (batch * dim, state), gD and gbias (batch * dim,), to be summed over the batch.
    """
    dim, state = A.shape
    length = u.shape[1]
    width = dim // groups
    chunks = (length + chunk - 1) // chunk
    dt, x, gx, gdt = _strip(chunk, u), _strip(chunk, u), _strip(chunk, u), _strip(chunk, u)
    a, h, g, w = _strip(chunk, u), _strip(chunk, u), _strip(chunk, u), _strip(chunk, u)
    carry = np.zeros((ROWS, state), u.dtype)
    for unit in range(first, last):
        pair, part = unit // parts, unit % parts
        for base in range(part * ROWS, width, parts * ROWS):
            active = min(ROWS, width - base)
            channel = pair % groups * width + base
            row = pair // groups * dim + channel
            a[active:] = 0
            carry[:] = 0
            for c in range(chunks - 1, -1, -1):
                t0 = c * chunk
                m = min(chunk, length - t0)
                gx[:] = 0
                gdt[:] = 0
                for r in range(active):
                    _steps(delta, bias[channel + r], softplus, row + r, t0, m, r, dt)
                    _scale_row(dt, u, row + r, t0, m, r, x)
                for k in range(state):
                    for r in range(active):
                        _factors(A[channel + r, k], m, r, dt, a)
                        _terms(B, pair, k, t0, m, r, x, h)
                        _seed(C, pair, k, gy, row + r, t0, m, r, g)
                        h[r, 0] = 0
                        if c > 0:
                            h[r, 0] = starts[c - 1, row + r, k]
                        a[r, m] = 1
                        g[r, m] = carry[r, k]
                    _run(a, h, m)
                    _run_back(a, g, m)
                    for r in range(active):
                        carry[r, k] = a[r, 0] * g[r, 0]
                        _by_exponent(m, r, a, h, g, w)
                        gA[row + r, k] += _dot(m, r, w, dt)
                        _add_scaled(A[channel + r, k], m, r, w, gdt)
                        _add_product(B, pair, k, t0, m, r, g, gx)
                        _add_by_B(m, r, g, x, part, pair, k, t0, gB)
                        _add_by_C(m, r, h, gy, row + r, part, pair, k, t0, gC)
                for r in range(active):
                    _write_gu(D[channel + r], gy, row + r, t0, m, r, gx, dt, gu)
                    _add_row(gx, u, row + r, t0, m, r, gdt)
                    _through_softplus(delta, bias[channel + r], softplus, row + r, t0, m, r, gdt)
                    gD[row + r] += _dot_whole(gy, u, row + r, t0, m)
                    gbias[row + r] += _store(m, r, gdt, row + r, t0, gdelta)


# --- Gradient of the gradient ----------------------------------------------------------------


@_kernel
def curvature(  # type: ignore[no-untyped-def]
    first, last, parts, groups, softplus, chunk, starts, gy,
    u, delta, A, B, C, D, bias, t_u, t_delta, t_A, t_B, t_C, t_D, t_bias,
    t_y, hu, hdelta, hA, hB, hC, hD, hbias,
):  # fmt: skip
    """Compute the tangents of y and of all gradients along the direction t_*.

    Units and outputs as in :func:`gradient`. Chunks are walked twice: forward for t_h at their
    starts, backward for the rest; one chunk needs no first walk.
    """
    dim, state = A.shape
    length = u.shape[1]
    width = dim // groups
    chunks = (length + chunk - 1) // chunk
    dt, x, gx, gdt = _strip(chunk, u), _strip(chunk, u), _strip(chunk, u), _strip(chunk, u)
    a, h, g, w = _strip(chunk, u), _strip(chunk, u), _strip(chunk, u), _strip(chunk, u)
    t_dt, t_x, t_gx, t_gdt = _strip(chunk, u), _strip(chunk, u), _strip(chunk, u), _strip(chunk, u)
    t_a, t_h, t_g, t_w = _strip(chunk, u), _strip(chunk, u), _strip(chunk, u), _strip(chunk, u)
    out = _strip(chunk, u)
    carry, t_carry = np.zeros((ROWS, state), u.dtype), np.zeros((ROWS, state), u.dtype)
    t_starts = np.zeros((chunks, ROWS, state), u.dtype)
    for unit in range(first, last):
        pair, part = unit // parts, unit % parts
        for base in range(part * ROWS, width, parts * ROWS):
            active = min(ROWS, width - base)
            channel = pair % groups * width + base
            row = pair // groups * dim + channel
            a[active:] = 0
            carry[:] = 0
            t_carry[:] = 0
            for walk in range(1, 2 * chunks):  # forward over all but the last, then backward
                back = walk >= chunks
                c = 2 * chunks - 1 - walk if back else walk - 1
                t0 = c * chunk
                m = min(chunk, length - t0)
                for r in range(active):
                    i, j = row + r, channel + r
                    _steps(delta, bias[j], softplus, i, t0, m, r, dt)
                    _scale_row(dt, u, i, t0, m, r, x)
                    _t_steps(delta, bias[j], t_delta, t_bias[j], softplus, i, t0, m, r, t_dt)
                    _scale_row(t_dt, u, i, t0, m, r, t_x)
                    _add_row(dt, t_u, i, t0, m, r, t_x)
                if back:
                    gx[:] = 0
                    gdt[:] = 0
                    t_gx[:] = 0
                    t_gdt[:] = 0
                    out[:] = 0
                for k in range(state):
                    for r in range(active):
                        _factors(A[channel + r, k], m, r, dt, a)
                        _terms(B, pair, k, t0, m, r, x, h)
                        h[r, 0] = 0
                        if c > 0:
                            h[r, 0] = starts[c - 1, row + r, k]
                        t_h[r, 0] = t_starts[c, r, k]
                        a[r, m] = 1
                    _run(a, h, m)
                    for r in range(active):
                        j = channel + r
                        _t_factors(A[j, k], t_A[j, k], m, r, dt, t_dt, a, t_a)
                        _t_terms(B, t_B, pair, k, t0, m, r, x, t_x, t_h)
                        _add_shifted(m, r, t_a, h, 0, t_h)
                    _run(a, t_h, m)
                    if not back:
                        for r in range(active):
                            t_starts[c + 1, r, k] = t_h[r, m]
                        continue
                    for r in range(active):
                        i = row + r
                        _add_output(C, pair, k, t0, m, r, t_h, out)
                        _add_output(t_C, pair, k, t0, m, r, h, out)
                        _seed(C, pair, k, gy, i, t0, m, r, g)
                        _seed(t_C, pair, k, gy, i, t0, m, r, t_g)
                        g[r, m], t_g[r, m], t_a[r, m] = carry[r, k], t_carry[r, k], 0
                    _run_back(a, g, m)
                    for r in range(active):
                        _add_shifted(m, r, t_a, g, 1, t_g)
                    _run_back(a, t_g, m)
                    for r in range(active):
                        i, j = row + r, channel + r
                        carry[r, k] = a[r, 0] * g[r, 0]
                        t_carry[r, k] = a[r, 0] * t_g[r, 0] + t_a[r, 0] * g[r, 0]
                        _by_exponent(m, r, a, h, g, w)
                        _t_by_exponent(m, r, a, t_a, h, t_h, g, t_g, t_w)
                        hA[i, k] += _dot(m, r, t_w, dt) + _dot(m, r, w, t_dt)
                        _add_scaled(A[j, k], m, r, w, gdt)
                        _add_scaled(A[j, k], m, r, t_w, t_gdt)
                        _add_scaled(t_A[j, k], m, r, w, t_gdt)
                        _add_product(B, pair, k, t0, m, r, g, gx)
                        _add_product(B, pair, k, t0, m, r, t_g, t_gx)
                        _add_product(t_B, pair, k, t0, m, r, g, t_gx)
                        _add_by_B(m, r, t_g, x, part, pair, k, t0, hB)
                        _add_by_B(m, r, g, t_x, part, pair, k, t0, hB)
                        _add_by_C(m, r, t_h, gy, i, part, pair, k, t0, hC)
                if not back:
                    continue
                for r in range(active):
                    i, j = row + r, channel + r
                    _add_whole(D[j], t_u, i, t0, m, r, out)
                    _add_whole(t_D[j], u, i, t0, m, r, out)
                    _store(m, r, out, i, t0, t_y)
                    _write_gu(t_D[j], gy, i, t0, m, r, t_gx, dt, hu)
                    _add_product_whole(m, r, gx, t_dt, i, t0, hu)
                    _add_row(gx, u, i, t0, m, r, gdt)
                    _add_row(t_gx, u, i, t0, m, r, t_gdt)
                    _add_row(gx, t_u, i, t0, m, r, t_gdt)
                    if softplus:
                        _add_curvature(delta, bias[j], t_delta, t_bias[j], i, t0, m, r, gdt, t_gdt)
                    hD[i] += _dot_whole(gy, t_u, i, t0, m)
                    hbias[i] += _store(m, r, t_gdt, i, t0, hdelta)
