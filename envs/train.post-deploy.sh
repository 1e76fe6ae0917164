#!/usr/bin/env bash
# The CUDA kernels of the selective scan and the causal convolution, built against the torch of this
# environment: ready-made wheels are for other versions of it. Snakemake runs this once, after it has
# made the environment, on the machine that it was started on; no GPU is needed.
set -euo pipefail
export CUDA_HOME=${CONDA_PREFIX:-${CUDA_HOME:?is not set: load a CUDA module or use conda}}
export MAMBA_FORCE_BUILD=TRUE CAUSAL_CONV1D_FORCE_BUILD=TRUE MAX_JOBS=${MAX_JOBS:-4}
python -m pip install --no-build-isolation --constraint requirements.txt \
  causal-conv1d==1.7.0 mamba-ssm==2.3.2.post1 einops==0.8.2
python -c "import torch, selective_scan_cuda, causal_conv1d_cuda"
