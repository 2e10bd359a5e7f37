"""The GEMM study: the matrix products of a model's linear layers, timed alone, on random data.

A product is Y[M, N] = X[M, K] W[N, K]^T: M tokens of a step (the batch size), K inputs and N outputs of the layer.
What a scheme gains in them bounds what it can gain in serving; the 2024 study of sparse FP8 (Neural Magic) shows both.

The variants are the sweep's own: the number format of a product is derived from a variant's typed scheme (formats.py),
so a variant means here what it means where it is served, with its label, colour, needs and baseline. A cell is one
variant and one layer, `fp8_dynamic/gemm/qkv_proj`, stored atomically, with a row for each batch size and kernel. All
cells are one session: one worker process in the engine's own environment (engines/gemm_worker), layer by layer.
"""

GEMM = "gemm"  # kind of the cells, name of the session
