"""Forms of checkpoints, each as its config.json: what published ones and our own recipes say to an engine. Written anew
after llm-compressor's, compressed-tensors', AutoGPTQ's, AutoAWQ's and transformers' formats; weights are not needed to
choose a kernel.
"""

import json
from pathlib import Path

LLAMA_8B = {  # layers of Llama 3.1 8B, two of its 32
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 2,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}
MIXTRAL = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 2,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA_2_70B = {  # the judge of the Hopper study
    **LLAMA_8B,
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

SMOLLM2 = {  # of gpu_proof and quickstart; 128 does not divide its 576 inputs
    **LLAMA_8B,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "rope_theta": 100000.0,
    "rope_scaling": None,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def fmt(bits: int, kind: str, strategy: str, **more) -> dict:
    return {"num_bits": bits, "type": kind, "strategy": strategy, "symmetric": True, "dynamic": False, **more}


def compressed(weights: dict, activations: dict | None, form: str, **more) -> dict:
    """A quantization_config of compressed-tensors with one group."""
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": form,
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": weights,
                "input_activations": activations,
                "output_activations": None,
            }
        },
        **more,
    }


def sparse(form: str, **more) -> dict:
    """A sparsity_config as llm-compressor 0.3 to 0.6 wrote it."""
    return {
        "sparsity_config": {
            "format": form,
            "global_sparsity": 0.5,
            "ignore": ["lm_head"],
            "registry_requires_subclass": False,
            "sparsity_structure": "2:4",
            "targets": ["Linear"],
            **more,
        }
    }


DYNAMIC_TOKEN = fmt(8, "float", "token", dynamic=True)
INT8_TOKEN = fmt(8, "int", "token", dynamic=True)
FP8_CHANNEL, FP8_TENSOR = fmt(8, "float", "channel"), fmt(8, "float", "tensor")
FP8_DYNAMIC = compressed(FP8_CHANNEL, DYNAMIC_TOKEN, "float-quantized")
INT8 = compressed(fmt(8, "int", "channel"), INT8_TOKEN, "int-quantized")
INT4 = fmt(4, "int", "group", group_size=128)
DENSE_SPARSE = {
    "quant_method": "compressed-tensors",
    "quantization_status": "compressed",
    "format": "dense",
    "ignore": ["lm_head"],
}

FORMS: dict[str, dict] = {
    "bf16": LLAMA_8B,
    "fp8_dynamic": {**LLAMA_8B, "quantization_config": FP8_DYNAMIC},
    "fp8_static": {**LLAMA_8B, "quantization_config": compressed(FP8_TENSOR, FP8_TENSOR, "float-quantized")},
    "fp8_block": {
        **LLAMA_8B,
        "quantization_config": compressed(
            fmt(8, "float", "block", block_structure=[128, 128]),
            fmt(8, "float", "group", group_size=128, dynamic=True),
            "float-quantized",
        ),
    },
    "fp8_kv": {**LLAMA_8B, "quantization_config": {**FP8_DYNAMIC, "kv_cache_scheme": FP8_TENSOR}},
    "int8_w8a8": {**LLAMA_8B, "quantization_config": INT8},
    "w4a16": {**LLAMA_8B, "quantization_config": compressed(INT4, None, "pack-quantized")},
    "w4a16_asym": {
        **LLAMA_8B,
        "quantization_config": compressed({**INT4, "symmetric": False}, None, "pack-quantized"),
    },
    "w8a16": {**LLAMA_8B, "quantization_config": compressed(fmt(8, "int", "channel"), None, "pack-quantized")},
    "w4a8_fp8": {**LLAMA_8B, "quantization_config": compressed(INT4, DYNAMIC_TOKEN, "pack-quantized")},
    "nvfp4": {
        **LLAMA_8B,
        "quantization_config": compressed(
            fmt(4, "float", "tensor_group", group_size=16),
            fmt(4, "float", "tensor_group", group_size=16, dynamic="local"),
            "nvfp4-pack-quantized",
        ),
    },
    "mxfp4": {
        **LLAMA_8B,
        "quantization_config": compressed(
            fmt(4, "float", "group", group_size=32, scale_dtype="torch.uint8"),
            fmt(4, "float", "group", group_size=32, dynamic=True, scale_dtype="torch.uint8"),
            "mxfp4-pack-quantized",
        ),
    },
    "sparse24_fp8": {**LLAMA_8B, "quantization_config": {**FP8_DYNAMIC, **sparse("sparse-24-bitmask")}},
    "sparse24_fp8_dense": {**LLAMA_8B, "quantization_config": {**FP8_DYNAMIC, **sparse("dense")}},
    "sparse24_fp8_unsaid": {**LLAMA_8B, "quantization_config": FP8_DYNAMIC},
    "sparse24_fp8_no_targets": {**LLAMA_8B, "quantization_config": {**FP8_DYNAMIC, **sparse("dense", targets=[])}},
    "sparse24_fp8_two_four": {
        **LLAMA_8B,
        "quantization_config": {**FP8_DYNAMIC, **sparse("dense", sparsity_structure="two_four")},
    },
    "sparse24_int8": {**LLAMA_8B, "quantization_config": {**INT8, **sparse("dense")}},
    "sparse24_bf16": {**LLAMA_8B, "quantization_config": {**DENSE_SPARSE, "config_groups": {}, **sparse("dense")}},
    "marlin24": {**LLAMA_8B, "quantization_config": compressed(INT4, None, "marlin-24")},
    "gptq_marlin24": {
        **LLAMA_8B,
        "quantization_config": {
            "quant_method": "gptq",
            "checkpoint_format": "marlin_24",
            "bits": 4,
            "group_size": 128,
            "desc_act": False,
            "sym": True,
            "lm_head": False,
        },
    },
    "awq_judge": {
        **LLAMA_2_70B,
        "quantization_config": {
            **{"quant_method": "awq", "bits": 4, "group_size": 128},
            **{"version": "gemm", "zero_point": True},
        },
    },
    "smollm2_bf16": SMOLLM2,
    "smollm2_fp8": {**SMOLLM2, "quantization_config": FP8_DYNAMIC},
    "smollm2_sparse24_fp8": {**SMOLLM2, "quantization_config": {**FP8_DYNAMIC, **sparse("dense")}},
    "smollm2_int8": {**SMOLLM2, "quantization_config": INT8},
    "smollm2_w4a16": {
        **SMOLLM2,
        "quantization_config": compressed({**INT4, "group_size": 64}, None, "pack-quantized"),
    },
    "mixtral": MIXTRAL,
    "mixtral_nf4": MIXTRAL,  # quantized by the engine as it loads
    "mixtral_fp8": {
        **MIXTRAL,
        "quantization_config": {
            "quant_method": "fp8",
            "activation_scheme": "static",
            "ignored_layers": ["lm_head", *(f"model.layers.{layer}.block_sparse_moe.gate" for layer in range(2))],
        },
    },
    "mixtral_gptq8": {
        **MIXTRAL,
        "quantization_config": {
            "quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": True, "sym": True, "damp_percent": 0.1,
        },
    },
    "mixtral_gptq4": {
        **MIXTRAL,
        "quantization_config": {
            "quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True, "damp_percent": 0.1,
        },
    },
    "mixtral_awq": {
        **MIXTRAL,
        "quantization_config": {
            "quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True,
            "modules_to_not_convert": ["gate"],
        },
    },
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """A directory with the form's config.json; vLLM reads of GPTQ and AWQ weights which layers are quantized, so these
    have a header of their tensors' names and data types too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = FORMS[name]
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    if (config.get("quantization_config") or {}).get("quant_method") in ("gptq", "awq"):
        header = json.dumps(tensors(config)).encode()
        data = b"\0" * (4 * len(tensors(config)))
        (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    return folder


def tensors(config: dict) -> dict:
    """A safetensors header: packed weights of the linear layers, 16-bit weights of the others; one element each."""
    names = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
    for layer in range(config["num_hidden_layers"]):
        head = f"model.layers.{layer}"
        quantized = [f"{head}.self_attn.{part}_proj" for part in "qkvo"]
        if "num_local_experts" in config:
            names.append(f"{head}.block_sparse_moe.gate.weight")
            experts = range(config["num_local_experts"])
            quantized += [f"{head}.block_sparse_moe.experts.{e}.w{part}" for e in experts for part in (1, 2, 3)]
        else:
            quantized += [f"{head}.mlp.{part}_proj" for part in ("gate", "up", "down")]
        names += [f"{linear}.{part}" for linear in quantized for part in ("qweight", "qzeros", "scales")]
    dtypes = {"qweight": "I32", "qzeros": "I32"}
    sizes = [(name, dtypes.get(name.rpartition(".")[2], "F16")) for name in names]
    return {
        name: {"dtype": dtype, "shape": [1], "data_offsets": [4 * at, 4 * at + (4 if dtype == "I32" else 2)]}
        for at, (name, dtype) in enumerate(sizes)
    }
