"""The GEMM study: the matrix products of a model's linear layers, timed alone, on random data.

A product is Y[M, N] = X[M, K] W[N, K]^T: M tokens of a step (the batch size), K inputs and N outputs of the layer.
What a scheme gains in them bounds what it can gain in serving; the 2024 study of sparse FP8 (Neural Magic) shows both.

The variants are the sweep's own: the number format of a product is derived from a variant's typed scheme (formats.py),
so a variant means here what it means where it is served, with its label, colour, needs and baseline. A cell is one
variant and one layer, `fp8_dynamic/gemm/qkv_proj`, stored atomically, with a row for each batch size and kernel. All
cells are one session: one worker process in the engine's own environment (engines/gemm_worker), layer by layer.

`result` of a cell: {"layer", "n", "k" (outputs and inputs of one GPU's share), "count" (in the
model), "tensor_parallel", "format" and "against" (number formats, the variant's and the baseline's), "kernel" (the
engine's), "absent": [{"kernel", "batch" where it is of one, "reason"}], "roofline": None or {"name", "source",
"bandwidth" bytes/s, "peak" {format: FLOP/s}}}.
Product rows: {"batch", "kernel", "role": engine | vendor, "note", "times_s": [seconds a call, of each round],
    "baseline_times_s": [the same of the baseline's kernel, in the same rounds], "calls" (of a round), "clock", "copies"
    (of the weights), "error" (relative, of the float64 product; None: not finite), "bound", "flops", "bytes" (a call)}
"""

GEMM = "gemm"  # kind of the cells, name of the session
