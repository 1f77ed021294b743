"""What scripts written for transformers expect beside the model: names, arguments, tensors, outputs as dictionaries.

The formulas don't know this room; see its README.
"""
