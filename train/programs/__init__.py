"""Training programs and what changes in them: optimizer, distillation, pruning, averages, kernels."""
