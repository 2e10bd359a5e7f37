"""The GPUs of this machine that sessions may use, from `executor.gpus`, CUDA_VISIBLE_DEVICES and NVML. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.machine.devices import ORDER, VARIABLE, Device, Gpu, visible

SETTING = "executor.gpus"


@dataclass(frozen=True)
class Slots:
    """One device for each slot. `declared`: entries of the setting, where there is no GPU to look at."""

    devices: tuple[Device, ...] = ()
    declared: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # lines for preflight

    def __len__(self) -> int:
        return len(self.devices) or len(self.declared)

    def keeping(self, free: Callable[[Device], bool]) -> "Slots":
        """Return those that nobody else uses, and the first, of which preflight says who does."""
        return replace(self, devices=tuple(one for n, one in enumerate(self.devices) if n == 0 or free(one)))

    def names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """UUIDs, or what was declared."""
        return tuple(self.devices[n].uuid if self.devices else self.declared[n] for n in numbers)

    def variables(self, numbers: Sequence[int]) -> dict[str, str]:
        """Return the environment in which CUDA shows these and no others.

        By index, on the order of the PCI bus, which is NVML's: older engines do not read UUIDs. A MIG instance has no
        index.
        """
        if not self.devices or not numbers:
            return {}
        chosen = [self.devices[n] for n in numbers]
        return {ORDER: "PCI_BUS_ID", VARIABLE: ",".join(one.uuid if one.instance else str(one.gpu) for one in chosen)}


def declared(asked: Sequence[int | str]) -> Slots:
    """Return slots for GPUs that nothing looks at: those of the simulated engine."""
    return Slots(declared=tuple(map(str, asked)), problems=tuple(_twice(asked)))


def slots(asked: Sequence[int | str] | None, gpus: list[Gpu], environment: Mapping[str, str]) -> Slots:
    """Return the GPUs that `asked` names by index or UUID, else all that CUDA shows."""
    shown = visible(gpus, environment)
    if asked is None:
        return Slots(_alike(shown.devices))
    problems = list(_twice(asked))
    found, unknown = list[Device](), list[str]()
    for entry in map(str, asked):
        named = visible(gpus, {VARIABLE: entry, ORDER: "PCI_BUS_ID"}).devices
        if not named:
            unknown.append(entry)
        elif VARIABLE in environment and not _is_shown(named[0], shown.devices):
            problems.append(f"{SETTING}: {VARIABLE}={environment[VARIABLE]} hides GPU {entry}; take it out of one")
        else:
            found.append(named[0])
    if unknown:
        there = ", ".join(f"{gpu.index}: {gpu.uuid}" for gpu in gpus) or "none"
        problems.append(f"{SETTING}: this machine has no GPU {', '.join(unknown)}; its GPUs: {there}")
    if len(_alike(found)) < len(found):
        kinds = ", ".join(f"{one.gpu}: {one.name}" for one in found)
        problems.append(f"{SETTING} names GPUs of different models ({kinds}): a sweep is measured on one; choose it")
    return Slots(tuple(dict.fromkeys(found)), () if found else tuple(map(str, asked)), tuple(problems))


def _is_shown(device: Device, shown: Sequence[Device]) -> bool:
    """An instance of a GPU that is shown by its index is as good as the one that CUDA would take."""
    return any(device.uuid == one.uuid or (device.instance and device.gpu == one.gpu) for one in shown)


def _twice(asked: Sequence[int | str]) -> list[str]:
    names = list(map(str, asked))
    return [f"{SETTING} names GPU {name} twice" for name in dict.fromkeys(names) if names.count(name) > 1]


def _alike(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Those of the first one's model: another model would give other cells."""
    return tuple(one for one in devices if (one.name, one.instance) == (devices[0].name, devices[0].instance))
