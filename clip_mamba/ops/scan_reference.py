"""The selective scan as the paper writes it: a loop over time, for reading and for tests.

Glossary (Gu and Dao, "Mamba", section 3.2, algorithm 2):
    b batch, d dim (channels), l length, n state, g groups of channels that share B and C
    Delta, A, B, C, D   step size, transition, input and output projection, skip weight
    h                   hidden state, one n-vector per channel
"""

import torch
from torch import Tensor

from clip_mamba.ops.arguments import ScanArguments


def scan_reference(args: ScanArguments) -> Tensor:
    """Run the recurrence h = exp(Delta A) h + Delta B u, y = C h + D u, one step at a time.

    Args:
        args: Checked arguments.

    Returns:
        y, (batch, dim, length), in the type of u.
    """
    dtype = args.compute_dtype
    A = args.A.to(dtype)  # (d, n)
    u = args.u.to(dtype)  # (b, d, l)
    Delta = args.step_size()  # (b, d, l)
    repeats = u.shape[1] // args.B.shape[1]
    B = args.B.to(dtype).repeat_interleave(repeats, dim=1)  # (b, d, n, l)
    C = args.C.to(dtype).repeat_interleave(repeats, dim=1)  # (b, d, n, l)

    h = u.new_zeros(u.shape[0], *A.shape)  # (b, d, n)
    outputs = []
    for u_t, Delta_t, B_t, C_t in zip(
        u.unbind(-1), Delta.unbind(-1), B.unbind(-1), C.unbind(-1), strict=True
    ):
        A_bar = torch.exp(Delta_t[..., None] * A)  # (b, d, n), equation 4 for A
        B_bar_u = (Delta_t * u_t)[..., None] * B_t  # (b, d, n), Euler step for B
        h = A_bar * h + B_bar_u  # equation 2a
        outputs.append((C_t * h).sum(-1))  # (b, d), equation 2b
    y = torch.stack(outputs, dim=-1) if outputs else u  # (b, d, l)
    if args.D is not None:
        y = y + args.D.to(dtype)[:, None] * u
    return y.to(args.u.dtype)
