"""Benchmarks, run by hand: nothing here is timed in the test run.

speed.py             the CPU: every stage beside transformers and beside the machine's own limit
bench_gpu.py         the same question on a GPU
bench_checkpoint.py  released sizes with drawn weights, loaded whole and streamed

shapes.py, jobs.py, limits.py, turns.py, processes.py, growth.py, charts.py, inputs.py are parts of speed.py.
"""
