"""The selective scan's fused CPU kernels: forward, gradient and gradient of the gradient.

Letters as in :mod:`clip_mamba.ops.scan_reference`. Arrays come flattened: u, delta, y and their
kin are (batch * dim, length), B and C (batch * groups, state, length), A (dim, state).

How the work is cut. A *strip* is up to LANES channels of one (batch, group) pair, walked along
time in chunks that fit the first two levels of cache. A vector holds one number of each channel
of the strip, so that h = a h + b is one multiply-add for all of them and stays in a register; B
and C, which the channels share, are spread over it. Rows of the arrays are transposed on their way
in and out, and sums over channels (the gradients of B and C) are made for LANES steps at once. The
forward keeps h at the starts of chunks; the other kernels recompute it from there.

Names: ``dt`` is the step size Delta, ``x`` is Delta u, ``a`` is exp(Delta A), ``g*`` is the
gradient of a loss by *, and ``t_*`` is the tangent (the dot) of * along a direction. The third
kernel is the second one carried along a direction (dual numbers), which by the symmetry of the
Hessian is the gradient of the gradient.

Everything compiled stands in this one file, see :mod:`clip_mamba.ops.compilation`. The vectors are
LLVM's: what the processor has not got in one register, LLVM splits.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from clip_mamba.ops.compilation import EXACT, kernel

LANES = 16  # channels in a strip, and steps in a block that is transposed
MAX_CHUNK = 256  # time steps in a chunk; 64 and 128 took up to 15 % longer with one state
_LN2 = math.log(2)

_inline = numba.njit(nogil=True, forceinline=True, fastmath=EXACT, error_model="numpy")
_intrinsic: Any = intrinsic  # whose calls look nothing like its definitions
_at = np.uintp  # an unsigned index needs no test for "from the end"


def chunk_size(length: int) -> int:
    """Return the time steps of a chunk: as few chunks as fit, nearly equal, in whole blocks.

    Args:
        length: Time steps of the whole sequence.

    Returns:
        A number from 1 to ``MAX_CHUNK``.
    """
    chunks = max(1, math.ceil(length / MAX_CHUNK))
    return max(1, min(length, math.ceil(length / chunks / LANES) * LANES))


# --- Vectors of LANES numbers ----------------------------------------------------------------


class Vector(types.Type):
    """One number of each channel of a strip, in registers."""

    def __init__(self, real: Any) -> None:
        """Name the type.

        Args:
            real: numba's float32 or float64.
        """
        super().__init__(name=f"Vector({real})")
        self.real = real


def _vector_type(real: Any) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if real == types.float32 else ir.DoubleType(), LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Vector) -> None:
        super().__init__(manager, numba_type, _vector_type(numba_type.real))


class _Emit:
    """Writes vector arithmetic in LLVM's words; nothing but contraction to multiply-add is free."""

    def __init__(self, builder: Any, real: Any) -> None:
        self.builder, self.real, self.vector = builder, real, _vector_type(real)
        self.single = real == types.float32

    def const(self, value: float) -> Any:
        # Through float32, because LLVM wants constants that the type can hold.
        number = float(np.float32(value)) if self.single else float(value)
        return ir.Constant(self.vector, [number] * LANES)

    def add(self, p: Any, q: Any) -> Any:
        return self.builder.fadd(p, q, flags=("contract",))

    def sub(self, p: Any, q: Any) -> Any:
        return self.builder.fsub(p, q, flags=("contract",))

    def mul(self, p: Any, q: Any) -> Any:
        return self.builder.fmul(p, q, flags=("contract",))

    def fma(self, p: Any, q: Any, r: Any) -> Any:
        return self.add(self.mul(p, q), r)

    def where(self, p: Any, relation: str, q: Any, yes: Any, no: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(relation, p, q), yes, no)

    def call(self, name: str, x: Any) -> Any:
        name = f"{name}.v{LANES}f{32 if self.single else 64}"
        kind = ir.FunctionType(self.vector, [self.vector])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [x])

    def exp(self, x: Any) -> Any:
        """Return e**x, exactly 1 at 0; the argument is clamped to where the result is normal."""
        k = _SINGLE if self.single else _DOUBLE
        top = self.const(k.largest)
        bottom = self.const(-k.largest)
        x = self.where(x, ">", top, top, x)
        x = self.where(x, "<", bottom, bottom, x)  # comparisons that let NaN through
        n = self.call("llvm.floor", self.fma(x, self.const(1 / _LN2), self.const(0.5)))
        r = self.sub(x, self.mul(n, self.const(k.ln2_high)))
        r = self.sub(r, self.mul(n, self.const(k.ln2_low)))
        p = self.const(k.taylor[0])
        for c in (*k.taylor[1:], 1.0):
            p = self.fma(p, r, self.const(c))
        return self.mul(p, self.power_of_two(n))

    def power_of_two(self, n: Any) -> Any:
        """Return 2**n for a whole number n held in a float, by writing the exponent's bits."""
        bits, bias, mantissa = (32, 127, 23) if self.single else (64, 1023, 52)
        integer = ir.VectorType(ir.IntType(bits), LANES)
        whole = self.builder.fptosi(n, integer)
        biased = self.builder.add(whole, ir.Constant(integer, [bias] * LANES))
        shifted = self.builder.shl(biased, ir.Constant(integer, [mantissa] * LANES))
        return self.builder.bitcast(shifted, self.vector)

    def decay(self, x: Any) -> Any:
        """Return e**-|x|."""
        return self.exp(self.sub(self.const(0), self.call("llvm.fabs", x)))

    def softplus(self, x: Any) -> Any:
        """Return log(1 + e**x), and x itself above 20, as torch has it."""
        zero, z = self.const(0), self.decay(x)
        # log(1 + z) = 2 atanh(z / (2 + z)), and that argument is at most 1/3.
        s = self.builder.fdiv(z, self.add(self.const(2), z))
        q = self.mul(s, s)
        atanh = (_SINGLE if self.single else _DOUBLE).atanh
        p = self.const(atanh[0])
        for c in atanh[1:]:
            p = self.fma(p, q, self.const(c))
        found = self.fma(s, p, self.where(x, ">", zero, x, zero))
        return self.where(x, ">", self.const(20), x, found)

    def sigmoid(self, x: Any) -> Any:
        """Return the derivative of softplus."""
        one, z = self.const(1), self.decay(x)
        above = self.where(x, ">", self.const(0), one, z)
        found = self.builder.fdiv(above, self.add(one, z))
        return self.where(x, ">", self.const(20), one, found)

    def shuffle(self, p: Any, q: Any, places: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
        return self.builder.shuffle_vector(p, q, mask)

    def transpose(self, rows: list[Any]) -> list[Any]:
        """Return the columns of a matrix whose rows are given, LANES vectors."""
        for distance, low, high in _ROUNDS:
            new = list(rows)
            for i in (i for i in range(LANES) if not i & distance):
                p, q = rows[i], rows[i + distance]
                new[i], new[i + distance] = self.shuffle(p, q, low), self.shuffle(p, q, high)
            rows = new
        # The second round leaves columns 1 and 2 of each four in each other's place.
        return [rows[i + (0, 1, -1, 0)[i % 4]] for i in range(LANES)]

    def sum_each(self, rows: list[Any]) -> Any:
        """Return the sums of LANES vectors as one vector: a transposition that adds."""
        for _, low, high in _ROUNDS:
            pairs = zip(rows[::2], rows[1::2], strict=True)
            rows = [self.add(self.shuffle(p, q, low), self.shuffle(p, q, high)) for p, q in pairs]
        return rows[0]


def _places(low: list[int], step: int) -> tuple[list[int], list[int]]:
    """Return the places in two vectors end to end that a round takes, from the first places."""
    return low, [i + step for i in low]


_FOURS = range(0, LANES, 4)
# Transposition in log2(LANES) rounds: numbers, pairs, then fours of one row change places with
# those of the row that is 1, 2, 4, 8 further. The first two stay within fours, which is cheap.
_ROUNDS = [
    (1, *_places([i + j for i in _FOURS for j in (0, LANES, 1, LANES + 1)], 2)),
    (2, *_places([i + j for i in _FOURS for j in (0, 1, LANES, LANES + 1)], 2)),
    (4, *_places([8 * i + j for i in range(4) for j in range(4)], 4)),
    (8, *_places([8 * i + j for i in range(4) for j in range(4)], 4)),
]


class _Constants:
    """The numbers of the elementary functions in one floating-point type."""

    def __init__(self, single: bool, ln2_high: float, ln2_low: float) -> None:
        # The high part has few bits, so that its product with the exponent is exact.
        self.ln2_high, self.ln2_low = ln2_high, ln2_low
        self.taylor = [1 / math.factorial(k) for k in range(7 if single else 13, 0, -1)]
        self.atanh = [2 / (2 * k + 1) for k in range(7 if single else 16, -1, -1)]
        self.largest = 87 if single else 708


_SINGLE = _Constants(True, 0.693359375, -2.12194440054690583e-4)
_DOUBLE = _Constants(False, 6.93147180369123816490e-01, 1.90821492927058770002e-10)


def _arithmetic(write: Callable) -> Any:
    """Make an intrinsic of some vectors from what writes it.

    Args:
        write: Takes an :class:`_Emit` and as many LLVM vectors as the intrinsic has arguments.

    Returns:
        The intrinsic.
    """
    count = write.__code__.co_argcount - 1

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return write(_Emit(builder, signature.return_type.real), *arguments)

    def one(typing_context: Any, p: Any) -> Any:
        return p(p), build

    def two(typing_context: Any, p: Any, q: Any) -> Any:
        return p(p, q), build

    def three(typing_context: Any, p: Any, q: Any, r: Any) -> Any:
        return p(p, q, r), build

    return _intrinsic((one, two, three)[count - 1])


_add = _arithmetic(lambda emit, p, q: emit.add(p, q))
_mul = _arithmetic(lambda emit, p, q: emit.mul(p, q))
_fma = _arithmetic(lambda emit, p, q, r: emit.fma(p, q, r))
_exp = _arithmetic(lambda emit, x: emit.exp(x))
_softplus = _arithmetic(lambda emit, x: emit.softplus(x))
_sigmoid = _arithmetic(lambda emit, x: emit.sigmoid(x))
_one_minus = _arithmetic(lambda emit, x: emit.sub(emit.const(1), x))


@_intrinsic
def _spread(typing_context: Any, number: Any) -> Any:
    """Return code that makes a vector of one number everywhere."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _vector_type(number)
        first = builder.insert_element(
            ir.Constant(vector, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0)
        )
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)

    return Vector(number)(number), build


# --- Memory ----------------------------------------------------------------------------------


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    """Return where vector-sized data begin in an array, counted in numbers from its start."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _vector_type(array_type.dtype).as_pointer())


def _get(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    size = 4 if array_type.dtype == types.float32 else 8
    return builder.load(_pointer(context, builder, array_type, array, place), align=size)


def _put(context: Any, builder: Any, array_type: Any, array: Any, place: Any, vector: Any) -> None:
    size = 4 if array_type.dtype == types.float32 else 8
    builder.store(vector, _pointer(context, builder, array_type, array, place), align=size)


@_intrinsic
def _load(typing_context: Any, strip: Any, t: Any) -> Any:
    """Return code that loads the vector of step t of a strip, (steps, LANES)."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.mul(arguments[1], ir.Constant(arguments[1].type, LANES))
        return _get(context, builder, signature.args[0], arguments[0], place)

    return Vector(strip.dtype)(strip, t), build


@_intrinsic
def _store(typing_context: Any, strip: Any, t: Any, vector: Any) -> Any:
    """Return code that sets the vector of step t of a strip, (steps, LANES)."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.mul(arguments[1], ir.Constant(arguments[1].type, LANES))
        _put(context, builder, signature.args[0], arguments[0], place, arguments[2])
        return context.get_dummy_value()

    return types.void(strip, t, vector), build


@_intrinsic
def _read_block(
    typing_context: Any,
    whole: Any,
    row: Any,
    count: Any,
    t0: Any,
    ahead: Any,
    strip: Any,
    t: Any,
) -> Any:
    """Return code that copies LANES steps of rows to a strip; past ``count`` rows are zeros.

    What stands ``ahead`` numbers further is asked for already.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole, row, count, t0, ahead, strip, t = arguments
        kind, strip_kind = signature.args[0], signature.args[5]
        emit = _Emit(builder, kind.dtype)
        rows = []
        for place, there in _row_places(context, builder, kind, whole, row, count, t0):
            found = _get(context, builder, kind, whole, place)
            rows.append(builder.select(there, found, emit.const(0)))
            _prefetch(context, builder, kind, whole, builder.add(place, ahead), write=False)
        for j, column in enumerate(emit.transpose(rows)):
            place = _step_place(builder, t, j)
            _put(context, builder, strip_kind, strip, place, column)
        return context.get_dummy_value()

    return types.void(whole, row, count, t0, ahead, strip, t), build


@_intrinsic
def _write_block(
    typing_context: Any,
    strip: Any,
    t: Any,
    whole: Any,
    row: Any,
    count: Any,
    t0: Any,
    ahead: Any,
) -> Any:
    """Return code that copies LANES steps of a strip to ``count`` rows."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        strip, t, whole, row, count, t0, ahead = arguments
        strip_kind, kind = signature.args[0], signature.args[2]
        steps = [
            _get(context, builder, strip_kind, strip, _step_place(builder, t, j))
            for j in range(LANES)
        ]
        rows = _Emit(builder, kind.dtype).transpose(steps)
        places = _row_places(context, builder, kind, whole, row, count, t0)
        for values, (place, there) in zip(rows, places, strict=True):
            with builder.if_then(there):
                _put(context, builder, kind, whole, place, values)
                _prefetch(context, builder, kind, whole, builder.add(place, ahead), write=True)
        return context.get_dummy_value()

    return types.void(strip, t, whole, row, count, t0, ahead), build


def _prefetch(
    context: Any, builder: Any, array_type: Any, array: Any, place: Any, write: bool
) -> None:
    """Ask for a cache line; one outside the array does no harm."""
    word = ir.IntType(32)
    where = builder.bitcast(
        _pointer(context, builder, array_type, array, place), ir.IntType(8).as_pointer()
    )
    kind = ir.FunctionType(ir.VoidType(), [where.type, word, word, word])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [where, word(int(write)), word(3), word(1)])


@_intrinsic
def _sum_block(typing_context: Any, strip: Any, t: Any, sums: Any) -> Any:
    """Return code that sets sums[t], ... to the sums over channels of LANES steps of a strip."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        strip, t, sums = arguments
        kind, sums_kind = signature.args[0], signature.args[2]
        steps = [
            _get(context, builder, kind, strip, _step_place(builder, t, j)) for j in range(LANES)
        ]
        total = _Emit(builder, kind.dtype).sum_each(steps)
        _put(context, builder, sums_kind, sums, t, total)
        return context.get_dummy_value()

    return types.void(strip, t, sums), build


def _step_place(builder: Any, t: Any, ahead: int) -> Any:
    """Return where step t + ahead of a strip begins."""
    return builder.mul(builder.add(t, ir.Constant(t.type, ahead)), ir.Constant(t.type, LANES))


def _row_places(
    context: Any, builder: Any, kind: Any, whole: Any, row: Any, count: Any, t0: Any
) -> list[tuple[Any, Any]]:
    """Return where step t0 of each row is, and whether the row is one of ``count``.

    A row that is not has the place of the first, so that it may be read.
    """
    length = builder.extract_value(context.make_array(kind)(context, builder, whole).shape, 1)
    places = []
    for r in range(LANES):
        there = builder.icmp_signed(">", count, ir.Constant(count.type, r))
        here = builder.select(there, ir.Constant(row.type, r), ir.Constant(row.type, 0))
        places.append((builder.add(builder.mul(builder.add(row, here), length), t0), there))
    return places


@_inline
def _read(whole, row, count, t0, m, ahead, strip):  # type: ignore[no-untyped-def]
    """Fill m steps of a strip from rows of the whole; channels past ``count`` become zeros."""
    for t in range(0, m - LANES + 1, LANES):
        _read_block(whole, row, count, t0 + t, ahead, strip, t)
    if m > LANES and m % LANES:  # the last block overlaps the one before
        _read_block(whole, row, count, t0 + m - LANES, ahead, strip, m - LANES)
    for t in range(0, m if m < LANES else 0):
        for r in range(LANES):
            strip[t, r] = whole[row + r, t0 + t] if r < count else 0


@_inline
def _write(strip, whole, row, count, t0, m, ahead):  # type: ignore[no-untyped-def]
    """Write m steps of a strip to rows of the whole."""
    for t in range(0, m - LANES + 1, LANES):
        _write_block(strip, t, whole, row, count, t0 + t, ahead)
    if m > LANES and m % LANES:
        _write_block(strip, m - LANES, whole, row, count, t0 + m - LANES, ahead)
    for t in range(0, m if m < LANES else 0):
        for r in range(count):
            whole[row + r, t0 + t] = strip[t, r]


@_inline
def _add_sums(strip, m, sums, out, part, pair, k, t0):  # type: ignore[no-untyped-def]
    """Add the sums over channels of m steps of a strip to a row of the whole."""
    for t in range(0, m, LANES):
        _sum_block(strip, t, sums)
    for t in range(m):
        out[part, pair, k, _at(t0 + t)] += sums[t]


@_inline
def _strips(count, steps, like):  # type: ignore[no-untyped-def]
    """Return zeros for strips, (count, steps, LANES), at the start of a cache line."""
    steps = (steps + LANES - 1) // LANES * LANES
    size = count * steps * LANES
    space = np.zeros(size + LANES, like.dtype)
    skip = (-(space.ctypes.data // like.itemsize)) % LANES
    return space[skip : skip + size].reshape((count, steps, LANES))


@_inline
def _channels(A, channel, count, strip):  # type: ignore[no-untyped-def]
    """Fill a strip, (state, LANES), with rows of A."""
    for k in range(A.shape[1]):
        for r in range(LANES):
            strip[k, r] = A[channel + r, k] if r < count else 0


@_inline
def _channel_numbers(D, channel, count, strip, place):  # type: ignore[no-untyped-def]
    """Fill one step of a strip with a number per channel."""
    for r in range(LANES):
        strip[place, r] = D[channel + r] if r < count else 0


@_inline
def _write_channels(strip, out, row, count):  # type: ignore[no-untyped-def]
    """Write a strip, (state, LANES), to rows of the whole."""
    for k in range(out.shape[1]):
        for r in range(count):
            out[row + r, k] = strip[k, r]


@_inline
def _at_step(B, pair, k, t0, t):  # type: ignore[no-untyped-def]
    """Return a number that all channels share as a vector."""
    return _spread(B[pair, k, _at(t0 + t)])


# --- Forward ---------------------------------------------------------------------------------


@kernel
def forward(first, last, groups, softplus, chunk, u, delta, A, B, C, D, bias, y, starts):  # type: ignore[no-untyped-def]
    """Compute y for strips first .. last-1, and h at the starts of chunks 1, 2, ...

    ``starts`` is (chunks - 1, strips, state, LANES), or empty along its first axis where no
    gradient will be asked.
    """
    dim, state = A.shape
    length = u.shape[1]
    width = dim // groups
    strips = (width + LANES - 1) // LANES
    chunks = (length + chunk - 1) // chunk
    work = _strips(3, chunk, u)
    dt, x, out = work[0], work[1], work[2]
    by_state = _strips(2, state, u)
    As, hs = by_state[0], by_state[1]
    numbers = _strips(1, 2, u)[0]
    for strip in range(first, last):
        pair, base = strip // strips, strip % strips * LANES
        count = min(LANES, width - base)
        channel = pair % groups * width + base
        row = pair // groups * dim + channel
        _channels(A, channel, count, As)
        _channel_numbers(D, channel, count, numbers, 0)
        _channel_numbers(bias, channel, count, numbers, 1)
        hs[:] = 0
        for c in range(chunks):
            t0 = c * chunk
            m = min(chunk, length - t0)
            ahead = chunk if c < chunks - 1 else LANES * length - t0
            _read(delta, row, count, t0, m, ahead, dt)
            _read(u, row, count, t0, m, ahead, x)
            for t in range(m):
                step = _add(_load(dt, t), _load(numbers, 1))
                if softplus:
                    step = _softplus(step)
                value = _load(x, t)
                _store(dt, t, step)
                _store(x, t, _mul(step, value))
                _store(out, t, _mul(_load(numbers, 0), value))
            for k in range(state):
                A_k, h = _load(As, k), _load(hs, k)
                if c > 0 and starts.shape[0] > 0:
                    _store(starts[c - 1, strip], k, h)
                for t in range(m):
                    B_t, C_t = _at_step(B, pair, k, t0, t), _at_step(C, pair, k, t0, t)
                    h = _fma(_exp(_mul(_load(dt, t), A_k)), h, _mul(_load(x, t), B_t))
                    _store(out, t, _fma(C_t, h, _load(out, t)))
                _store(hs, k, h)
            _write(out, y, row, count, t0, m, ahead)


# --- Gradient --------------------------------------------------------------------------------


@kernel
def gradient(  # type: ignore[no-untyped-def]
    first, last, parts, groups, softplus, chunk, starts, gy,
    u, delta, A, B, C, D, bias, gu, gdelta, gA, gB, gC, gD, gbias,
):  # fmt: skip
    """Compute all gradients for units first .. last-1.

    A unit is every parts-th strip of a (batch, group) pair, so that each adds to its own B and C
    gradients: gB, gC are (parts, batch * groups, state, length) and start as zeros; gA is
    (batch * dim, state), gD and gbias (batch * dim, 1), to be summed over the batch.
    """
    dim, state = A.shape
    length = u.shape[1]
    width = dim // groups
    strips = (width + LANES - 1) // LANES
    chunks = (length + chunk - 1) // chunk
    work = _strips(10, chunk, u)
    dt, x, us, gys, slope = work[0], work[1], work[2], work[3], work[4]
    gx, gdt, a, h_before, product = work[5], work[6], work[7], work[8], work[9]
    sums = np.zeros(product.shape[0], u.dtype)
    by_state = _strips(3, state, u)
    As, gAs, carry = by_state[0], by_state[1], by_state[2]
    numbers = _strips(1, 4, u)[0]  # D, bias, gD, gbias
    zero = _spread(u.dtype.type(0))
    for unit in range(first, last):
        pair, part = unit // parts, unit % parts
        for base in range(part * LANES, width, parts * LANES):
            strip = pair * strips + base // LANES
            count = min(LANES, width - base)
            channel = pair % groups * width + base
            row = pair // groups * dim + channel
            _channels(A, channel, count, As)
            numbers[:] = 0
            _channel_numbers(D, channel, count, numbers, 0)
            _channel_numbers(bias, channel, count, numbers, 1)
            gAs[:] = 0
            carry[:] = 0
            for c in range(chunks - 1, -1, -1):
                t0 = c * chunk
                m = min(chunk, length - t0)
                ahead = -chunk if c > 0 else parts * LANES * length + (chunks - 1) * chunk
                _read(delta, row, count, t0, m, ahead, dt)
                _read(u, row, count, t0, m, ahead, us)
                _read(gy, row, count, t0, m, ahead, gys)
                gD_c = _load(numbers, 2)
                for t in range(m):
                    step = _add(_load(dt, t), _load(numbers, 1))
                    if softplus:
                        _store(slope, t, _sigmoid(step))
                        step = _softplus(step)
                    _store(dt, t, step)
                    _store(x, t, _mul(step, _load(us, t)))
                    _store(gx, t, zero)
                    _store(gdt, t, zero)
                    gD_c = _fma(_load(gys, t), _load(us, t), gD_c)
                _store(numbers, 2, gD_c)
                for k in range(state):
                    A_k, h = _load(As, k), zero
                    if c > 0:
                        h = _load(starts[c - 1, strip], k)
                    for t in range(m):
                        a_t = _exp(_mul(_load(dt, t), A_k))
                        _store(a, t, a_t)
                        _store(h_before, t, h)
                        h = _fma(a_t, h, _mul(_load(x, t), _at_step(B, pair, k, t0, t)))
                        _store(product, t, _mul(_load(gys, t), h))
                    _add_sums(product, m, sums, gC, part, pair, k, t0)
                    g, gA_k = _load(carry, k), _load(gAs, k)
                    for i in range(m):
                        t = m - 1 - i
                        B_t = _at_step(B, pair, k, t0, t)
                        g = _fma(_load(gys, t), _at_step(C, pair, k, t0, t), g)
                        _store(product, t, _mul(g, _load(x, t)))
                        _store(gx, t, _fma(B_t, g, _load(gx, t)))
                        g = _mul(g, _load(a, t))
                        w = _mul(g, _load(h_before, t))  # the gradient by the exponent dt A
                        gA_k = _fma(w, _load(dt, t), gA_k)
                        _store(gdt, t, _fma(w, A_k, _load(gdt, t)))
                    _store(carry, k, g)
                    _store(gAs, k, gA_k)
                    _add_sums(product, m, sums, gB, part, pair, k, t0)
                gbias_c = _load(numbers, 3)
                for t in range(m):
                    gx_t, gdt_t = _load(gx, t), _load(gdt, t)
                    gdt_t = _fma(gx_t, _load(us, t), gdt_t)
                    if softplus:
                        gdt_t = _mul(gdt_t, _load(slope, t))
                    _store(gdt, t, gdt_t)
                    _store(gx, t, _fma(gx_t, _load(dt, t), _mul(_load(numbers, 0), _load(gys, t))))
                    gbias_c = _add(gbias_c, gdt_t)
                _store(numbers, 3, gbias_c)
                _write(gx, gu, row, count, t0, m, ahead)
                _write(gdt, gdelta, row, count, t0, m, ahead)
            _write_channels(gAs, gA, row, count)
            _write_channels(numbers[2:3], gD, row, count)
            _write_channels(numbers[3:4], gbias, row, count)


# --- Gradient of the gradient ----------------------------------------------------------------


@kernel
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
    strips = (width + LANES - 1) // LANES
    chunks = (length + chunk - 1) // chunk
    work = _strips(19, chunk, u)
    dt, x, us, gys, slope = work[0], work[1], work[2], work[3], work[4]
    t_dt, t_x, t_us, t_slope, out = work[5], work[6], work[7], work[8], work[9]
    gx, gdt, t_gx, t_gdt = work[10], work[11], work[12], work[13]
    a, h_before, t_a, t_h_before, product = work[14], work[15], work[16], work[17], work[18]
    sums = np.zeros(product.shape[0], u.dtype)
    by_state = _strips(5, state, u)
    As, t_As, hAs, carry, t_carry = by_state[0], by_state[1], by_state[2], by_state[3], by_state[4]
    t_starts = _strips(chunks, state, u)
    numbers = _strips(1, 6, u)[0]  # D, bias, t_D, t_bias, hD, hbias
    zero = _spread(u.dtype.type(0))
    for unit in range(first, last):
        pair, part = unit // parts, unit % parts
        for base in range(part * LANES, width, parts * LANES):
            strip = pair * strips + base // LANES
            count = min(LANES, width - base)
            channel = pair % groups * width + base
            row = pair // groups * dim + channel
            _channels(A, channel, count, As)
            _channels(t_A, channel, count, t_As)
            numbers[:] = 0
            _channel_numbers(D, channel, count, numbers, 0)
            _channel_numbers(bias, channel, count, numbers, 1)
            _channel_numbers(t_D, channel, count, numbers, 2)
            _channel_numbers(t_bias, channel, count, numbers, 3)
            hAs[:] = 0
            carry[:] = 0
            t_carry[:] = 0
            for walk in range(1, 2 * chunks):  # forward over all but the last, then backward
                back = walk >= chunks
                c = 2 * chunks - 1 - walk if back else walk - 1
                t0 = c * chunk
                m = min(chunk, length - t0)
                ahead = chunk
                if back:
                    ahead = -chunk if c > 0 else parts * LANES * length
                _read(delta, row, count, t0, m, ahead, dt)
                _read(t_delta, row, count, t0, m, ahead, t_dt)
                _read(u, row, count, t0, m, ahead, us)
                _read(t_u, row, count, t0, m, ahead, t_us)
                for t in range(m):
                    step = _add(_load(dt, t), _load(numbers, 1))
                    t_step = _add(_load(t_dt, t), _load(numbers, 3))
                    if softplus:
                        s = _sigmoid(step)
                        step = _softplus(step)
                        t_step = _mul(s, t_step)
                        _store(slope, t, s)
                        _store(t_slope, t, _mul(_one_minus(s), t_step))
                    _store(dt, t, step)
                    _store(t_dt, t, t_step)
                    _store(x, t, _mul(step, _load(us, t)))
                    _store(t_x, t, _fma(t_step, _load(us, t), _mul(step, _load(t_us, t))))
                if not back:
                    for k in range(state):
                        A_k, t_A_k, h, t_h = _load(As, k), _load(t_As, k), zero, zero
                        if c > 0:
                            h, t_h = _load(starts[c - 1, strip], k), _load(t_starts[c], k)
                        for t in range(m):
                            B_t, t_B_t = _at_step(B, pair, k, t0, t), _at_step(t_B, pair, k, t0, t)
                            a_t = _exp(_mul(_load(dt, t), A_k))
                            rate = _fma(_load(t_dt, t), A_k, _mul(_load(dt, t), t_A_k))
                            t_in = _fma(_load(t_x, t), B_t, _mul(_load(x, t), t_B_t))
                            t_h = _fma(a_t, t_h, _fma(_mul(a_t, rate), h, t_in))
                            h = _fma(a_t, h, _mul(_load(x, t), B_t))
                        _store(t_starts[c + 1], k, t_h)
                    continue
                _read(gy, row, count, t0, m, ahead, gys)
                for t in range(m):
                    _store(out, t, zero)
                    _store(gx, t, zero)
                    _store(gdt, t, zero)
                    _store(t_gx, t, zero)
                    _store(t_gdt, t, zero)
                for k in range(state):
                    A_k, t_A_k, h, t_h = _load(As, k), _load(t_As, k), zero, zero
                    if c > 0:
                        h, t_h = _load(starts[c - 1, strip], k), _load(t_starts[c], k)
                    for t in range(m):
                        B_t, t_B_t = _at_step(B, pair, k, t0, t), _at_step(t_B, pair, k, t0, t)
                        C_t, t_C_t = _at_step(C, pair, k, t0, t), _at_step(t_C, pair, k, t0, t)
                        a_t = _exp(_mul(_load(dt, t), A_k))
                        rate = _fma(_load(t_dt, t), A_k, _mul(_load(dt, t), t_A_k))
                        t_a_t = _mul(a_t, rate)
                        _store(a, t, a_t)
                        _store(t_a, t, t_a_t)
                        _store(h_before, t, h)
                        _store(t_h_before, t, t_h)
                        t_in = _fma(_load(t_x, t), B_t, _mul(_load(x, t), t_B_t))
                        t_h = _fma(a_t, t_h, _fma(t_a_t, h, t_in))
                        h = _fma(a_t, h, _mul(_load(x, t), B_t))
                        _store(out, t, _fma(C_t, t_h, _fma(t_C_t, h, _load(out, t))))
                        _store(product, t, _mul(_load(gys, t), t_h))
                    _add_sums(product, m, sums, hC, part, pair, k, t0)
                    g, t_g, hA_k = _load(carry, k), _load(t_carry, k), _load(hAs, k)
                    for i in range(m):
                        t = m - 1 - i
                        B_t, t_B_t = _at_step(B, pair, k, t0, t), _at_step(t_B, pair, k, t0, t)
                        g = _fma(_load(gys, t), _at_step(C, pair, k, t0, t), g)
                        t_g = _fma(_load(gys, t), _at_step(t_C, pair, k, t0, t), t_g)
                        _store(product, t, _fma(t_g, _load(x, t), _mul(g, _load(t_x, t))))
                        _store(gx, t, _fma(B_t, g, _load(gx, t)))
                        _store(t_gx, t, _fma(B_t, t_g, _fma(t_B_t, g, _load(t_gx, t))))
                        t_g = _fma(t_g, _load(a, t), _mul(g, _load(t_a, t)))
                        g = _mul(g, _load(a, t))
                        w = _mul(g, _load(h_before, t))
                        t_w = _fma(t_g, _load(h_before, t), _mul(g, _load(t_h_before, t)))
                        hA_k = _fma(t_w, _load(dt, t), _fma(w, _load(t_dt, t), hA_k))
                        _store(gdt, t, _fma(w, A_k, _load(gdt, t)))
                        _store(t_gdt, t, _fma(t_w, A_k, _fma(w, t_A_k, _load(t_gdt, t))))
                    _store(carry, k, g)
                    _store(t_carry, k, t_g)
                    _store(hAs, k, hA_k)
                    _add_sums(product, m, sums, hB, part, pair, k, t0)
                hD_c, hbias_c = _load(numbers, 4), _load(numbers, 5)
                for t in range(m):
                    u_t, t_u_t, gy_t = _load(us, t), _load(t_us, t), _load(gys, t)
                    gx_t, t_gx_t = _load(gx, t), _load(t_gx, t)
                    gdt_t = _fma(gx_t, u_t, _load(gdt, t))
                    t_gdt_t = _fma(t_gx_t, u_t, _fma(gx_t, t_u_t, _load(t_gdt, t)))
                    if softplus:
                        t_gdt_t = _fma(t_gdt_t, _load(slope, t), _mul(gdt_t, _load(t_slope, t)))
                    _store(t_gdt, t, t_gdt_t)
                    t_gu = _fma(gx_t, _load(t_dt, t), _mul(_load(numbers, 2), gy_t))
                    _store(t_gx, t, _fma(t_gx_t, _load(dt, t), t_gu))
                    skip = _fma(_load(numbers, 0), t_u_t, _mul(_load(numbers, 2), u_t))
                    _store(out, t, _add(_load(out, t), skip))
                    hD_c = _fma(gy_t, t_u_t, hD_c)
                    hbias_c = _add(hbias_c, t_gdt_t)
                _store(numbers, 4, hD_c)
                _store(numbers, 5, hbias_c)
                _write(out, t_y, row, count, t0, m, ahead)
                _write(t_gx, hu, row, count, t0, m, ahead)
                _write(t_gdt, hdelta, row, count, t0, m, ahead)
            _write_channels(hAs, hA, row, count)
            _write_channels(numbers[4:5], hD, row, count)
            _write_channels(numbers[5:6], hbias, row, count)
