"""How the kernels are compiled.

numba's disk cache looks only at the file of the outermost function to decide whether it is stale:
whatever a kernel calls must stand in the kernel's own file, and nothing of this one may change
what the kernels compute.
"""

from collections.abc import Callable
from functools import partial

import numba

EXACT = {"contract", "nsz"}  # fused multiply-add, but no other liberty with rounding


def kernel(function: Callable) -> Callable:
    """Compile without the interpreter lock, and on disk where there is a place for it.

    Args:
        function: The kernel.

    Returns:
        The compiled kernel.
    """
    compile_to = partial(numba.njit, nogil=True, fastmath=EXACT, error_model="numpy")
    try:
        return compile_to(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        return compile_to()(function)
