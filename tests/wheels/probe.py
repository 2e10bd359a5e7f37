"""Run in a wheel's own interpreter, with the stand-ins: `python probe.py SPEC OUT`.

SPEC is JSON, {"cases": [{"name", "kind", ...}]}. Each case runs in a forked child, because a process of vLLM logs most
choices once and has one distributed state; its log is OUT/NAME.log and its result OUT/NAME.json:
{"error": null | "...", "seconds": ..., ...}. Kinds are the functions of CASES.
"""

import contextlib
import io
import json
import os
import socket
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace


def parse(arguments: list[str]):
    """Arguments of the server command, through the parser and the checks that the server itself applies."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    cli = command_line()
    parsed = cli.make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    cli.validate_parsed_serve_args(parsed)
    return parsed


def command_line():
    """The module that reads the server's arguments."""
    try:
        return import_module("vllm.entrypoints.openai.cli_args")
    except ModuleNotFoundError:
        return import_module("vllm.entrypoints.launchers.cli_args")  # 0.32


def engine_config(arguments: list[str]):
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext

    return AsyncEngineArgs.from_cli_args(parse(arguments)).create_engine_config(
        usage_context=UsageContext.OPENAI_API_SERVER
    )


@contextlib.contextmanager
def one_rank(config):
    """vLLM's distributed state for one process, over gloo."""
    from vllm.config import set_current_vllm_config
    from vllm.distributed import parallel_state

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with set_current_vllm_config(config):
        parallel_state.init_distributed_environment(1, 0, f"tcp://127.0.0.1:{port}", 0, backend="gloo")
        parallel_state.initialize_model_parallel(1, 1)
        yield


def commands(case: dict) -> dict:
    """{name: why the wheel's parser refuses its arguments, null if it does not}."""
    return {"refused": {name: refusal(arguments) for name, arguments in case["commands"].items()}}


def refusal(arguments: list[str]) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parse(arguments)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def choices(case: dict) -> dict:
    """The values that an argument takes."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = command_line().make_arg_parser(FlexibleArgumentParser())
    found = {flag: action.choices for action in parser._actions for flag in action.option_strings}
    return {"choices": {flag: list(found[flag] or ()) for flag in case["flags"]}}


def model(case: dict) -> dict:
    """Build the model of the arguments as the engine's worker does, on `device` (meta or cpu); where `load` is true,
    load its weights with the wheel's own loader. The log names the kernels.
    """
    import torch
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
    from vllm.model_executor.model_loader.utils import initialize_model

    config = engine_config(case["arguments"])
    with one_rank(config):
        with set_dtype(torch, config.model_config.dtype), torch.device(case["device"]):
            built = initialize_model(vllm_config=config)
        result = {
            "layers": dict(described(built)),
            "rotary": rotary(built),
            "quantization": config.model_config.quantization,
            "kv_cache_dtype": str(config.cache_config.cache_dtype),
            "max_model_len": config.model_config.max_model_len,
        }
        if case.get("load"):
            loader = DefaultModelLoader(config.load_config)
            offered = set()
            loaded = built.load_weights(watched(loader.get_all_weights(config.model_config, built), offered))
            names = {name for name, _ in built.named_parameters()}
            result |= {"parameters": sorted(names), "offered": sorted(offered)}
            result |= {"not_loaded": sorted(names - loaded), "unknown": sorted(loaded - names)}
        return result


@contextlib.contextmanager
def set_dtype(torch, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


def watched(weights, offered: set):
    for name, tensor in weights:
        offered.add(name)
        yield name, tensor


def described(built):
    """(name, its scheme's or method's class) of every linear and expert layer, as the objects themselves are."""
    for name, layer in built.named_modules():
        method = getattr(layer, "quant_method", None)
        if method is not None:
            scheme = getattr(layer, "scheme", None)
            kernel = (
                getattr(scheme, "kernel", None)
                or getattr(scheme, "fp8_linear", None)
                or getattr(method, "kernel", None)
            )
            yield (
                name,
                [type(layer).__name__, type(scheme or method).__name__, type(kernel).__name__ if kernel else None],
            )


def rotary(built) -> list[dict]:
    """Rotary embeddings of the layers: class, base, dimensions; the table at position 1000 where it was computed."""
    found = {}
    for layer in built.modules():
        if "Rotary" in type(layer).__name__ and hasattr(layer, "base"):
            table = layer.cos_sin_cache
            known = {"class": type(layer).__name__, "base": float(layer.base), "dim": layer.rotary_dim}
            if table.device.type != "meta":
                known["cos_sin_of_1000"] = [round(value, 4) for value in table[1000].float().tolist()]
            found[id(layer)] = known
    return list({json.dumps(known): known for known in found.values()}.values())


def tokens(case: dict) -> dict:
    """Token ids of `texts` and of `chats` by the tokenizer that the server would load."""
    try:
        from vllm.tokenizers import get_tokenizer
    except ImportError:
        from vllm.transformers_utils.tokenizer import get_tokenizer
    tokenizer = get_tokenizer(case["model"])
    chats = [as_ids(tokenizer.apply_chat_template(chat, add_generation_prompt=True)) for chat in case.get("chats", [])]
    return {
        "texts": [tokenizer(text).input_ids for text in case["texts"]],
        "decoded": [tokenizer.decode(tokenizer(text).input_ids) for text in case["texts"]],
        "chats": chats,
    }


def as_ids(encoded) -> list[int]:
    return list(encoded["input_ids"] if hasattr(encoded, "keys") else encoded)


def operators(case: dict) -> dict:
    """{operator: its schema, null where it is not there}, {function of vllm._custom_ops: its parameters, likewise}."""
    import inspect

    import torch
    import vllm._custom_ops as ops

    functions = {name: getattr(ops, name, None) for name in case["functions"]}
    return {
        "schemas": {name: schema(torch, name) for name in case["names"]},
        "functions": {name: found and list(inspect.signature(found).parameters) for name, found in functions.items()},
    }


def schema(torch, name: str) -> str | None:
    space, operator = name.split("::")
    try:
        return str(getattr(getattr(torch.ops, space), operator).default._schema)
    except (AttributeError, RuntimeError):
        return None


def versions(case: dict) -> dict:
    from importlib.metadata import PackageNotFoundError, version

    def found(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {"versions": {package: found(package) for package in case["packages"]}}


CASES = {
    "commands": commands,
    "choices": choices,
    "model": model,
    "tokens": tokens,
    "operators": operators,
    "versions": versions,
}


def run(case: dict, out: Path) -> None:
    """In the child: output to the case's log, the result to its file."""
    log = os.open(out / f"{case['name']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    began, result = time.monotonic(), {"error": None}
    try:
        result |= CASES[case["kind"]](case)
    except SystemExit as stopped:  # argparse
        result["error"] = f"exit {stopped.code}"
    except BaseException as error:
        traceback.print_exc()
        result["error"] = f"{type(error).__name__}: {error}"
    result["seconds"] = round(time.monotonic() - began, 2)
    (out / f"{case['name']}.json").write_text(json.dumps(result))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def stand_in_device() -> None:
    """What libcuda would tell of the GPU, and NVML does not."""
    import torch

    major, minor = map(int, os.environ["STANDIN_CAPABILITY"].split("."))
    properties = SimpleNamespace(
        name=os.environ["STANDIN_NAME"],
        major=major,
        minor=minor,
        multi_processor_count=132,
        total_memory=int(os.environ["STANDIN_MEMORY_GIB"]) << 30,
        shared_memory_per_block_optin=232448,
        is_integrated=False,
    )
    torch.cuda.get_device_properties = lambda device=None: properties
    os.environ["VLLM_DISABLE_SHARED_EXPERTS_STREAM"] = "1"  # no CUDA stream can be made


# Imported once, before the children are forked.
MODULES = (
    "vllm.engine.arg_utils",
    "vllm.model_executor.model_loader.default_loader",
    "vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors",
    "vllm.model_executor.models.llama",
    "vllm.v1.attention.backends.flash_attn",
    "vllm.v1.attention.backends.flashinfer",
)


def main(spec: Path, out: Path) -> None:
    stand_in_device()
    for module in MODULES:
        with contextlib.suppress(Exception):  # the case that needs it will say so
            import_module(module)
    out.mkdir(parents=True, exist_ok=True)
    for case in json.loads(spec.read_text())["cases"]:
        if (child := os.fork()) == 0:
            run(case, out)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
