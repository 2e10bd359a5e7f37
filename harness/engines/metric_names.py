"""What engines export at GET /metrics, by their names: {exporter's name: our quantity}.

Quantities are those of loadgen/server_metrics.py. Names of vLLM 0.15 to 0.32, SGLang 0.5.23 and llama.cpp 11434.
"""

from collections.abc import Mapping

VLLM: Mapping[str, str] = {
    "vllm:prefix_cache_queries_total": "prefix_cache_queries",
    "vllm:prefix_cache_queries": "prefix_cache_queries",
    "vllm:prefix_cache_hits_total": "prefix_cache_hits",
    "vllm:prefix_cache_hits": "prefix_cache_hits",
    "vllm:num_preemptions_total": "preemptions",
    "vllm:num_preemptions": "preemptions",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:request_success_total": "requests_succeeded",
    "vllm:spec_decode_num_drafts_total": "drafts",
    "vllm:spec_decode_num_draft_tokens_total": "draft_tokens",
    "vllm:spec_decode_num_accepted_tokens_total": "accepted_tokens",
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_use",  # 0 to 1, in spite of its name
    "vllm:gpu_cache_usage_perc": "kv_cache_use",
}
SGLANG: Mapping[str, str] = {
    "sglang:cached_tokens_total": "prefix_cache_hits",
    "sglang:num_retracted_requests_total": "preemptions",
    "sglang:generation_tokens_total": "generation_tokens",
    "sglang:prompt_tokens_total": "prompt_tokens",
    "sglang:num_running_reqs": "running",
    "sglang:num_queue_reqs": "waiting",
    "sglang:token_usage": "kv_cache_use",
}
LLAMACPP: Mapping[str, str] = {
    "llamacpp:prompt_tokens_cached_total": "prefix_cache_extra",
    "llamacpp:tokens_predicted_total": "generation_tokens",
    "llamacpp:prompt_tokens_total": "prompt_tokens",
    "llamacpp:requests_processing": "running",
    "llamacpp:requests_deferred": "waiting",
    "llamacpp:kv_cache_usage_ratio": "kv_cache_use",
}
KNOWN: Mapping[str, str] = {**VLLM, **SGLANG, **LLAMACPP}  # for a server whose engine nobody has said
