"""Known mistakes made in transformers' own model and image processor: by changed weights, settings, modules and hooks.

    python -m tests.golden.in_transformers

prints for each mistake what compare names, and which of the usual rules notice it. None of these uses a formula of `golden/`.
"""
