"""Models of the roofline model, of their published configurations. Pure."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Shape:
    """A Llama-style transformer: grouped-query attention, gated MLP, untied embeddings.

    With `experts`, every layer has so many MLPs, of which each token takes `experts_per_token` (Mixtral).
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    max_model_len: int
    experts: int = 1
    experts_per_token: int = 1

    @cached_property
    def attention_weights(self) -> int:
        return self.layers * self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)

    @cached_property
    def expert_weights(self) -> int:
        """Weights of one expert of every layer."""
        return self.layers * 3 * self.hidden * self.intermediate

    @cached_property
    def linear_weights(self) -> int:
        """Weights of the layers: what a scheme compresses, and memory holds."""
        return self.attention_weights + self.experts * self.expert_weights

    @cached_property
    def active_weights(self) -> int:
        """Weights of the layers that one token is multiplied with."""
        return self.attention_weights + self.experts_per_token * self.expert_weights

    def read_weights(self, tokens: int) -> float:
        """Weights of the layers that a step of so many tokens reads.

        Each token takes k of E experts; taken evenly and independently, E * (1 - (1 - k/E) ** tokens) distinct ones are
        expected in a layer, so that a growing batch reads more until it reads all.
        """
        missed = (1 - self.experts_per_token / self.experts) ** tokens
        return self.attention_weights + self.experts * (1 - missed) * self.expert_weights

    @cached_property
    def head_weights(self) -> int:
        """Weights of the language-model head, which every scheme leaves in BF16. The embedding is only looked up."""
        return self.hidden * self.vocabulary

    @cached_property
    def attention_flops_per_pair(self) -> int:
        return 4 * self.layers * self.heads * self.head_dim

    @cached_property
    def kv_values_per_token(self) -> int:
        return 2 * self.layers * self.kv_heads * self.head_dim


SHAPES = {
    "llama-3.1-8b": Shape("Llama 3.1 8B", 32, 4096, 14336, 32, 8, 128, 128256, 131072),
    "llama-3.1-70b": Shape("Llama 3.1 70B", 80, 8192, 28672, 64, 8, 128, 128256, 131072),
    "llama-3.1-405b": Shape("Llama 3.1 405B", 126, 16384, 53248, 128, 8, 128, 128256, 131072),
    "llama-2-7b": Shape("Llama 2 7B", 32, 4096, 11008, 32, 32, 128, 32000, 4096),
    "mixtral-8x7b": Shape("Mixtral 8x7B", 32, 4096, 14336, 32, 8, 128, 32000, 32768, 8, 2),
    "smollm2-135m": Shape("SmolLM2 135M", 30, 576, 1536, 9, 3, 64, 49152, 8192),
    "smollm2-360m": Shape("SmolLM2 360M", 32, 960, 2560, 15, 5, 64, 49152, 8192),
    "smollm2-1.7b": Shape("SmolLM2 1.7B", 24, 2048, 8192, 32, 32, 64, 49152, 8192),
}
