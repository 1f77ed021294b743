"""A stand-in for CuPy on NumPy, for tests without a GPU: see `module`."""
