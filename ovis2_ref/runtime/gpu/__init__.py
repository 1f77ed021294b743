"""CUDA: kernels, cuBLAS, and the fused twins of the plain formulas."""
