"""One limit for each value of a header field, and an Envoy that has it."""

from dataclasses import dataclass

from harness import config
from harness.envoy import Envoy

FIELD = "x-key"
WORKERS = 2
# Envoy answers by itself, with as little as it can.
ANSWER = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]


@dataclass(frozen=True)
class Limit:
    """`requests` in each `seconds`, in a bucket of `burst` tokens; `slots` as in docs/rate-limit.md."""

    requests: int
    seconds: int
    burst: int
    slots: int

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.requests / self.seconds

    def most(self, seconds: float) -> float:
        """What may be admitted within so long."""
        return self.burst + self.rate * seconds

    def envoy(self) -> Envoy:
        """An Envoy with the limit, not yet started."""
        limit = {"id": "drill", "key": [{"header": FIELD}], "requests": self.requests, "per": f"{self.seconds}s", "burst": self.burst}
        module = {"module": "rate-limit", "config": {"slots": self.slots, "headers": "off", "limits": [limit]}}
        # Without an access log: the time of the machine is for requests.
        setup = config.Setup(filters=[module], routes=ANSWER, options={"access_log": []})
        return Envoy({**config.bootstrap(setup, {}, "/dev/null"), "stats_flush_interval": "0.5s"}, concurrency=WORKERS)


def request(key: bytes) -> bytes:
    """A request with this key."""
    return b"GET / HTTP/1.1\r\nhost: api.test\r\n%s: %s\r\n\r\n" % (FIELD.encode(), key)


def contended(envoy: Envoy) -> int:
    """How many requests lost every try (503)."""
    return envoy.stat("wasmcustom.portcullis.rate_limit.contended")


def connections(envoy: Envoy) -> list[int]:
    """How many each worker has got."""
    return [envoy.stat(f"listener.127.0.0.1_0.worker_{worker}.downstream_cx_total") for worker in range(WORKERS)]
