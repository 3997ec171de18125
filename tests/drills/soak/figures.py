"""What is measured of Envoy at each checkpoint of the soak."""

from dataclasses import dataclass

import process
from harness.envoy import Envoy

MIB = 1 << 20


@dataclass(frozen=True)
class Figures:
    """One checkpoint. Sizes are in MiB.

    resident     of the whole process
    allocated    what Envoy's allocator has given out: `server.memory_allocated`
    linear       the largest linear memory of a VM; none where it can't be read
    """

    requests: int
    resident: float
    allocated: float
    linear: float
    vms: int
    vms_created: int
    reloads: int
    statistics: int
    descriptors: int


def take(envoy: Envoy, requests: int) -> Figures:
    """Measures now, after this many requests."""
    linear = process.linear_memories(envoy.pid)
    if not linear:
        raise RuntimeError("no linear memory found in the map of Envoy's addresses: does it still use V8?")
    statistics = dict(line.split(": ", 1) for line in envoy.admin("/stats").splitlines() if ": " in line)
    return Figures(
        requests=requests,
        resident=envoy.resident_bytes() / MIB,
        allocated=int(statistics["server.memory_allocated"]) / MIB,
        linear=linear[0] / MIB,
        vms=int(statistics["wasm.envoy.wasm.runtime.v8.active"]),
        vms_created=int(statistics["wasm.envoy.wasm.runtime.v8.created"]),
        reloads=int(statistics["wasm.suite.vm_reload"]),
        statistics=len(statistics),
        descriptors=process.descriptors(envoy.pid),
    )
