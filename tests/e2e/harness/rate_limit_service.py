"""A rate-limit service by Envoy's protocol, with counters in memory or in Redis, that can fail (tests/rate-limit-service)."""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Sequence

from . import project
from .program import Program
from .redis import Redis

CLUSTER = "rate-limit-service"
# Messages for `RateLimitResponse` in the place of the right one.
FAULTS: dict[str, dict[str, Any]] = {
    "": {},
    "ok": {"message": "0801"},
    "over_limit": {"message": "0802"},
    "unknown": {"message": "0800"},
    "unheard_of_code": {"message": "0863"},
    "empty": {"message": ""},
    # The length of the second field ends behind the message.
    "cut": {"message": "080112ff01"},
    "malformed": {"message": "ffffffffffffffffffffff"},
    "internal": {"status": 13},
    "unavailable": {"status": 14},
    "unauthenticated": {"status": 16},
}


@dataclass(frozen=True)
class Limit:
    """At most `max_value` hits in `seconds`, in the words of Limitador.

    `conditions` and `variables` are CEL over `descriptors[0]`, the one that is judged: the limit is for descriptors that
    meet all conditions and have all variables, and counts each combination of values by itself.
    """

    namespace: str
    max_value: int
    seconds: int
    conditions: Sequence[str] = ()
    variables: Sequence[str] = ()
    name: Optional[str] = field(default=None, kw_only=True)


class RateLimitService(Program):
    """One service, used as a context manager. When it is started again it is on the same port; what it counted in memory
    is forgotten."""

    def __init__(self, limits: Sequence[Limit], redis: Optional[Redis] = None) -> None:
        super().__init__()
        self.port = 0
        self._limits = limits
        self.redis = redis
        self._directory = Path()

    def __enter__(self) -> "RateLimitService":
        self._directory = Path(tempfile.mkdtemp(prefix="portcullis-rate-limit-service-"))
        (self._directory / "limits.json").write_text(json.dumps([asdict(limit) for limit in self._limits]))
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self._directory, ignore_errors=True)

    def fail(self, fault: str = "", delay: float = 0.0) -> None:
        """From now on answers with one of `FAULTS`, and `delay` seconds late; without anything it works again."""
        self._ask(json.dumps({**FAULTS[fault], "delay_ms": round(delay * 1000)}))

    @property
    def calls(self) -> int:
        """How often it was asked since its start."""
        return int(self._ask()["calls"])

    @property
    def hits(self) -> int:
        """How many hits it was asked for since its start, in all descriptors together."""
        return int(self._ask()["hits"])

    @property
    def last(self) -> Optional[dict[str, Any]]:
        """The last request: `domain`, `descriptors` and `hits_addend` in the words of Envoy."""
        request: Optional[dict[str, Any]] = self._ask()["last"]
        return request

    def command(self) -> list[str]:
        redis = ["--redis", self.redis.url] if self.redis else []
        return [str(_program()), "--listen", f"127.0.0.1:{self.port}", "--limits", str(self._directory / "limits.json"),
                *redis]

    def wait_until_ready(self) -> None:
        self.port = int(self._line())

    def _ask(self, fault: str = "") -> dict[str, Any]:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(fault + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self.process is not None and self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the rate-limit service ended")
        return line


def _program() -> Path:
    path = project.DIST / "test" / "rate-limit-service"
    if not path.is_file():
        raise project.NotBuilt(f"{path} is missing: run `make build-test-services`")
    return path
