"""Ovis2, the vision-language model, whole, in readable array code: NumPy on a CPU, CuPy on an NVIDIA GPU."""
