"""The selective scan in torch operations only: linear in length, any device, any derivative.

Letters as in :mod:`clip_mamba.ops.scan_reference`; the time axis comes first, because a step
then touches contiguous memory. This path keeps (length, batch, dim, state) tensors.
"""

import torch
from torch import Tensor

from clip_mamba.ops.arguments import ScanArguments
from clip_mamba.ops.recurrence import linear_recurrence


def scan_torch(args: ScanArguments) -> Tensor:
    """Run the scan through :func:`clip_mamba.ops.recurrence.linear_recurrence`.

    Args:
        args: Checked arguments.

    Returns:
        y, (batch, dim, length), in the type of u.
    """
    dtype = args.compute_dtype
    batch, dim, length = args.u.shape
    groups, state = args.B.shape[1:3]
    grouped = (length, batch, groups, dim // groups)
    # Autocast would round the state to half precision.
    with torch.autocast(args.u.device.type, enabled=False):
        u = args.u.to(dtype).permute(2, 0, 1).reshape(grouped)  # (l, b, g, d/g)
        Delta = args.step_size().permute(2, 0, 1).reshape(grouped)  # (l, b, g, d/g)
        A = args.A.to(dtype).view(groups, dim // groups, state)  # (g, d/g, n)
        B = args.B.to(dtype).permute(3, 0, 1, 2).unsqueeze(3)  # (l, b, g, 1, n)
        C = args.C.to(dtype).permute(3, 0, 1, 2).unsqueeze(3)  # (l, b, g, 1, n)
        A_bar = torch.exp(Delta.unsqueeze(-1) * A)  # (l, b, g, d/g, n)
        h = linear_recurrence(A_bar, (Delta * u).unsqueeze(-1) * B)  # (l, b, g, d/g, n)
        y = (h * C).sum(-1).reshape(length, batch, dim).permute(1, 2, 0)  # (b, d, l)
        if args.D is not None:
            y = y + args.D.to(dtype)[:, None] * args.u.to(dtype)
        return y.to(args.u.dtype, memory_format=torch.contiguous_format)
