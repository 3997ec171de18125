"""The bootstraps of envoy-config/, as they are but for what a test needs: free ports, logs of its own."""

from pathlib import Path
from typing import Any

import yaml

from . import project

FILES = sorted((project.ROOT / "envoy-config").glob("*.yaml"))
# Fixed ports in the files: listener, API and identity provider.
LISTENER, UPSTREAM, IDP = 10000, 8080, 8081


def load(path: Path, upstream: int, idp: int, directory: Path) -> dict[str, Any]:
    """A bootstrap on free loopback ports, with files of logs in `directory`, and modules that are there."""
    return _relocate(yaml.safe_load(path.read_text()), {LISTENER: 0, UPSTREAM: upstream, IDP: idp}, directory)


def connection_manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Its connection manager, to be changed in place."""
    [listener] = bootstrap["static_resources"]["listeners"]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def _relocate(value: Any, ports: dict[int, int], directory: Path) -> Any:
    if isinstance(value, list):
        return [_relocate(item, ports, directory) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("port_value") in ports:
        return {**value, "address": "127.0.0.1", "port_value": ports[value["port_value"]]}
    if str(value.get("@type", "")).endswith(".FileAccessLog") and not value["path"].startswith("/dev/"):
        value = {**value, "path": str(directory / Path(value["path"]).name)}
    if str(value.get("filename", "")).startswith("dist/"):
        value = {**value, "filename": str(project.module_path(Path(value["filename"]).stem))}
    return {name: _relocate(item, ports, directory) for name, item in value.items()}
