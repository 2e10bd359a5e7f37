"""Compare servers that run already: which takes more of your traffic within its SLO, or which answers it sooner.

    harness servers old=http://HOST:8000 new=http://HOST:8001 --slo ttft_ms_p99=1000,itl_ms_p99=50
    harness servers old=http://HOST:8000 new=http://HOST:8001 --log requests.jsonl --slo e2e_ms_p99=8000
    harness servers old=http://HOST:8000 new=http://HOST:8001 --log requests.jsonl
    harness servers old=http://HOST:8000 new=http://HOST:8001 --slo itl_ms_p99=50 'scenario=[rag_1024_128]' dry_run=true

Servers speak OpenAI's API; the first is the reference. Their model is found by asking them.

With --slo it searches, for each server, the highest request rate whose percentiles stay within all limits. Without, it
sends one request at a time and compares the time to the first token (TTFT), between tokens (ITL) and to the end (E2E);
--rps R sends R requests per second instead.

--log sends your own requests as they are, with system messages and all turns: a JSON object with `messages` or `prompt`
in each line. Without it, prompts of 512 tokens are generated, with answers of 256 (scenario chat_512_256).

It runs `harness +sweep=servers`; KEY=VALUE are settings of that sweep, and its exit codes are those of every sweep.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.errors import ConfigError, HarnessError
from harness.paths import conf_files
from harness.redaction.masking import mask

SERVER = re.compile(r"(?P<name>[A-Za-z]\w*)=(?P<url>https?://.+)")
DEFAULT = ("old", "new")  # the variants of conf/sweep/servers.yaml
GENERATED, VERBATIM = "chat_512_256", "log"  # scenarios
ROWS, REPEATS = 100, 3  # of a log, one at a time; each repeat draws its own order
POCKET_TOKENIZER = "pocket:tokenizer"


def overrides(arguments: argparse.Namespace) -> list[str]:
    """Return the command line of the sweep. Raises ConfigError."""
    servers = _servers([word for word in arguments.words if "://" in word])
    settings = [word for word in arguments.words if "://" not in word]
    scenario = VERBATIM if arguments.log else _scenario(settings)
    words = ["+sweep=servers", f"model={arguments.tokenizer}", f"baseline={next(iter(servers))}"]
    words += [f"~{group}.{name}" for name in DEFAULT if name not in servers for group in ("variants", "engine.targets")]
    for name, url in servers.items():
        words += [] if name in DEFAULT else [f"+variant/own@variants.{name}=new", f"variants.{name}.label={name}"]
        words += [f"{'' if name in DEFAULT else '+'}engine.targets.{name}.base_url={json.dumps(url)}"]
    if arguments.log:
        words += [f"scenario=[{VERBATIM}]", f"scenarios.{VERBATIM}.text={json.dumps(str(arguments.log))}"]
        words += [f"scenarios.{VERBATIM}.output_tokens={arguments.max_tokens}"] if arguments.max_tokens else []
    words += [f"description={json.dumps(_description(arguments, scenario))}"]
    words += [f"~scenarios.{scenario}.slo.{metric}" for metric in _limits(scenario)]
    words += [f"scenarios.{scenario}.slo={{{', '.join(map(_limit, filter(None, arguments.slo.split(','))))}}}"]
    if not arguments.slo:
        words += ["load.capacity.probes=0", f"load.repeats={REPEATS}"]
        words += [f"load.single_stream_requests={_rows(arguments.log)}"] if arguments.log else []
    words += [f"load.rates_rps=[{arguments.rps:g}]"] if arguments.rps else []
    return [*words, *settings]


def _description(arguments: argparse.Namespace, scenario: str) -> str:
    sent = f"the requests of {arguments.log.name}, sent as they are" if arguments.log else f"requests of {scenario}"
    asked = "Requests per second within the SLO" if arguments.slo else "Time to answer"
    return f"{asked}: {sent}"


def _servers(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        said = SERVER.fullmatch(word)
        if said is None:
            raise ConfigError(f"{mask(word)}: a server is NAME=URL, with a name of letters and digits")
        if said["name"] in found:
            raise ConfigError(f"{said['name']}: the name of two servers; give each its own")
        found[said["name"]] = said["url"]
    if not found:
        raise ConfigError("no server; name them: old=http://HOST:8000 new=http://HOST:8001")
    return found


def _scenario(settings: Sequence[str]) -> str:
    chosen = [word.partition("=")[2].strip("[]") for word in settings if word.startswith("scenario=")]
    return chosen[-1] if chosen else GENERATED


def _limits(scenario: str) -> list[str]:
    """Metrics of the scenario's own SLO, whose limits would hold beside those of the command."""
    import yaml  # here: --help does not wait for it

    file = conf_files("scenario").get(scenario)
    return list((yaml.safe_load(file.read_text()) or {}).get("slo") or {}) if file else []


def _limit(word: str) -> str:
    """``itl_ms_p99=50`` as an element of a Hydra dict. What the limits mean is checked where the sweep is composed."""
    metric, equals, value = word.partition("=")
    if not equals or not metric or not value:
        raise ConfigError(f"--slo {word}: a limit is METRIC=VALUE, such as itl_ms_p99=50 or ttft_ms_p99=1000")
    return f"{metric}: {value}"


def _rows(log: Path) -> int:
    from harness.text.verbatim import load_verbatim

    return min(ROWS, len(load_verbatim(str(log))))


def main() -> int:
    parser = command_parser("servers", __doc__)
    parser.add_argument("words", metavar="NAME=URL", nargs="+", help="a server, and the name that the report gives it")
    parser.add_argument(
        "--slo",
        metavar="METRIC=LIMIT[,...]",
        default="",
        help="such as ttft_ms_p99=1000,itl_ms_p99=50 or e2e_ms_mean=8000",
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="requests to send as they are, .jsonl")
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="of an answer to a request of the log; default: the log's own"
    )
    parser.add_argument("--rps", type=float, metavar="R", help="also measure at R requests per second")
    parser.add_argument(
        "--tokenizer",
        metavar="MODEL",
        default=POCKET_TOKENIZER,
        help="the served model, as a hub id or a folder: generated prompts then have exactly the tokens asked for",
    )
    arguments, flags = parser.parse_known_intermixed_args()
    try:
        words = [*overrides(arguments), *flags]
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"$ {mask(shlex.join(['harness', *words]))}\n", file=sys.stderr)
    from harness.sweeps.command import main as run

    sys.argv[1:] = words
    return run()


if __name__ == "__main__":
    sys.exit(masked_main(main))
