"""N:M sparsity: which layers it is for, by magnitude, whether it was kept, and how a checkpoint says so."""


def prunable(model, ignore: list[str]) -> dict:
    """Linear layers by name, without the ignored ones."""
    from compressed_tensors.utils import match_named_modules

    return dict(match_named_modules(model, ["Linear"], ignore))


def by_magnitude(layers: dict, pattern: str) -> None:
    """Of every M weights along the inputs, the M - N smallest become 0 (Zhou et al. 2021, one-shot)."""
    kept, of = map(int, pattern.split(":"))
    for layer in layers.values():
        weight = layer.weight.data
        blocks = weight.view(weight.shape[0], -1, of)
        blocks.scatter_(2, blocks.abs().topk(of - kept, dim=2, largest=False).indices, 0)


def check(layers: dict, pattern: str) -> None:
    """Raises SystemExit for a layer in which quantization has filled the zeros again."""
    kept, of = map(int, pattern.split(":"))
    for name, layer in layers.items():
        full = int((layer.weight.data.view(-1, of) != 0).sum(1).gt(kept).sum())
        if full:
            raise SystemExit(f"{name} is not {kept}:{of} sparse: {full} groups of {of} have more than {kept} values")


def sparsity_config(model, layers: dict, pattern: str) -> dict:
    """The block of quantization_config that vLLM 0.7 to 0.18 looks for (compressed_tensors.py, _parse_sparsity_config).

    The fields of compressed-tensors' SparsityCompressionConfig. `targets` by class where all linear layers are sparse,
    as llm-compressor wrote it while it did. Else by name, because for a target that is a class vLLM leaves `ignore` out
    of account. The output embedding does not count: it is no linear layer to vLLM.
    """
    head = model.get_output_embeddings()
    linear = [name for name, module in prunable(model, []).items() if module is not head]
    dense = [name for name in linear if name not in layers]
    zeros = sum(int((layer.weight.data == 0).sum()) for layer in layers.values())
    return {
        "format": "dense",  # the zeros are stored
        "sparsity_structure": pattern,
        "global_sparsity": round(zeros / sum(parameter.numel() for parameter in model.parameters()), 4),
        "targets": list(layers) if dense else ["Linear"],
        "ignore": dense,
    }
