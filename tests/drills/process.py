"""What Linux tells about a running Envoy: memory, processor time, descriptors, and the linear memories of its VMs."""

import re
from pathlib import Path

MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")
# V8 reserves 8 GiB (and guards) of addresses for a 32-bit memory, so that it need not check bounds. The part that the
# module has grown to is readable and writable; what is left of the reservation follows it.
RESERVED = 4 << 30


def cpu_seconds(pid: int) -> float:
    """The processor time of all threads."""
    # schedstat counts nanoseconds; /proc/PID/stat only ticks of 10 ms.
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def descriptors(pid: int) -> int:
    """How many files and sockets are open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def linear_memories(pid: int) -> list[int]:
    """The sizes of all wasm memories in bytes, as `memory.size` in the modules would say; the largest first.

    There is one for each worker and two of the main thread, which no request uses.
    """
    sizes: list[int] = []
    grown_end, grown_size = 0, 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = MAPPING.match(line)
        if not found:
            continue
        begin, end, rights, inode = int(found[1], 16), int(found[2], 16), found[3], found[4]
        if rights == "---p" and end - begin > RESERVED and begin == grown_end:
            sizes.append(grown_size)
        grown_end, grown_size = (end, end - begin) if rights == "rw-p" and inode == "0" else (0, 0)
    return sorted(sizes, reverse=True)
