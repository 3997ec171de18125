"""What Envoy tells filters about client certificates, in real handshakes: jwt-auth builds on each of these facts.

The access log's CEL reads the same attributes as a filter.
"""

import json
import socket
import ssl
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from cryptography import x509

from harness import certificates
from harness.config import TYPE
from harness.envoy import Envoy
from harness.upstream import wait_until

ATTRIBUTES = ("mtls", "uri_san_peer_certificate", "dns_san_peer_certificate", "sha256_peer_certificate_digest",
              "peer_certificate")
URI, DNS = x509.UniformResourceIdentifier, x509.DNSName


class Handshakes:
    """An Envoy that answers over TLS by itself and logs the attributes of each connection."""

    def __init__(self, folder: Path, validation: dict[str, Any]) -> None:
        self._log = folder / "access.log"
        self.authority = certificates.authority(folder)
        server = certificates.issue(folder, "server", [DNS("srv.test")], self.authority)
        tls = certificates.listener(server, self.authority, **validation)
        self.envoy = Envoy(_bootstrap(self._log, tls), concurrency=1)

    def attributes(self, client: Optional[certificates.Pair]) -> Optional[dict[str, Any]]:
        """What is known of a connection with this certificate; none when the handshake fails."""
        context = certificates.client(client)
        seen = len(self._lines())
        try:
            with socket.create_connection(("127.0.0.1", self.envoy.port()), 5) as plain:
                with context.wrap_socket(plain) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nhost: srv.test\r\nconnection: close\r\n\r\n")
                    if not connection.recv(16):
                        return None
        except (ssl.SSLError, ConnectionError):
            return None
        assert wait_until(lambda: len(self._lines()) > seen, 5.0)
        line: dict[str, Any] = json.loads(self._lines()[seen])
        return line

    def _lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


def _bootstrap(log: Path, tls: dict[str, Any]) -> dict[str, Any]:
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}]},
        "access_log": [{"name": "file", "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
            "log_format": {"json_format": {name: f"%CEL(connection.{name})%" for name in ATTRIBUTES}}}}],
        "http_filters": [{"name": "router", "typed_config": {
            "@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}}],
    }
    return {"static_resources": {"listeners": [{
        "name": "ingress", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"transport_socket": tls, "filters": [{"name": "http", "typed_config": manager}]}]}]}}


@pytest.fixture
def verified(tmp_path: Path) -> Iterator[Handshakes]:
    """A listener that asks for certificates and verifies their chain."""
    handshakes = Handshakes(tmp_path, {})
    with handshakes.envoy:
        yield handshakes


@pytest.fixture
def unverified(tmp_path: Path) -> Iterator[Handshakes]:
    """A listener that takes certificates of anybody."""
    handshakes = Handshakes(tmp_path, {"trust_chain_verification": "ACCEPT_UNTRUSTED"})
    with handshakes.envoy:
        yield handshakes


def test_the_digest_and_the_certificate_are_the_clients(verified: Handshakes, tmp_path: Path) -> None:
    """`connection.sha256_peer_certificate_digest` is lower-case hex, `connection.peer_certificate` the whole PEM."""
    client = certificates.issue(tmp_path, "client", [URI("spiffe://prod/ns/a")], verified.authority)
    found = verified.attributes(client)
    assert found is not None and found["mtls"] == "true"
    assert found["sha256_peer_certificate_digest"] == client.digest.hex()
    assert found["peer_certificate"].strip() == client.certificate.read_text().strip()


def test_only_the_first_name_of_a_kind_is_an_attribute(verified: Handshakes, tmp_path: Path) -> None:
    """So several URIs can only be seen in the certificate itself."""
    names = [URI("spiffe://prod/ns/a"), URI("spiffe://prod/ns/b"), DNS("a.corp.test"), DNS("b.corp.test")]
    found = verified.attributes(certificates.issue(tmp_path, "client", names, verified.authority))
    assert found is not None
    assert found["uri_san_peer_certificate"] == "spiffe://prod/ns/a"
    assert found["dns_san_peer_certificate"] == "a.corp.test"


def test_a_nul_in_a_name_passes_the_handshake(verified: Handshakes, tmp_path: Path) -> None:
    """Envoy refuses no such certificate: a filter has to."""
    client = certificates.issue(tmp_path, "client", [DNS("admin.test\0.evil.test")], verified.authority)
    found = verified.attributes(client)
    assert found is not None and found["dns_san_peer_certificate"] == "admin.test\0.evil.test"


def test_without_a_certificate_there_is_no_mtls(verified: Handshakes) -> None:
    """A listener that only asks for a certificate serves clients without one."""
    found = verified.attributes(None)
    assert found is not None and found["mtls"] == "false" and not found["peer_certificate"]


def test_a_chain_that_is_verified_keeps_strangers_out(verified: Handshakes, tmp_path: Path) -> None:
    """The handshake itself fails."""
    assert verified.attributes(certificates.issue(tmp_path, "self", [URI("spiffe://prod/ns/x")])) is None


def test_mtls_says_nothing_about_the_chain(unverified: Handshakes, tmp_path: Path) -> None:
    """With ACCEPT_UNTRUSTED a certificate that anybody made looks like a verified one: hence the configuration's
    `listener_verifies_chain`."""
    found = unverified.attributes(certificates.issue(tmp_path, "self", [URI("spiffe://prod/ns/x")]))
    assert found is not None
    assert (found["mtls"], found["uri_san_peer_certificate"]) == ("true", "spiffe://prod/ns/x")
