"""What scripts written for transformers expect beside the model: names, arguments, tensors, outputs as dictionaries.

No formula imports this package; see its README.
"""
