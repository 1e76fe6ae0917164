"""Kernels that the models are built on: the selective scan and the causal convolution."""
