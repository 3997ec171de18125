"""Listeners that Envoy reads from a file and reads again when the file is replaced (LDS)."""

import json
import os
from pathlib import Path
from typing import Any, Mapping

from .config import TYPE
from .envoy import Envoy
from .upstream import wait_until

# How long Envoy may take to notice and judge a new file.
UPDATE_SECONDS = 20.0
COUNTERS = ("update_success", "update_rejected")


class DynamicListeners:
    """The listeners of a bootstrap, moved from it into a file in `directory`, which must have nothing else in it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "listeners.json"

    def bootstrap(self, bootstrap: Mapping[str, Any]) -> dict[str, Any]:
        """The same bootstrap, with its listeners in the file."""
        self._write(bootstrap)
        resources = {name: value for name, value in bootstrap["static_resources"].items() if name != "listeners"}
        source = {"path": str(self._path), "watched_directory": {"path": str(self._path.parent)}}
        return {
            **bootstrap,
            "node": {"id": "test", "cluster": "test"},
            "static_resources": resources,
            "dynamic_resources": {"lds_config": {"path_config_source": source}},
        }

    def replace(self, bootstrap: Mapping[str, Any], envoy: Envoy) -> bool:
        """Hands Envoy the listeners of this bootstrap; whether it took them. If not, those of before stay in use."""
        before = _decisions(envoy)
        self._write(bootstrap)
        if not wait_until(lambda: _decisions(envoy) != before, UPDATE_SECONDS):
            raise TimeoutError(f"Envoy did not decide on new listeners within {UPDATE_SECONDS} s")
        return _decisions(envoy)["update_success"] > before["update_success"]

    def _write(self, bootstrap: Mapping[str, Any]) -> None:
        listeners = [{"@type": TYPE + "envoy.config.listener.v3.Listener", **listener}
                     for listener in bootstrap["static_resources"]["listeners"]]
        # Envoy looks when a file is moved to the name, so it never reads half of one.
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"resources": listeners}))
        os.replace(new, self._path)


def _decisions(envoy: Envoy) -> dict[str, int]:
    lines = envoy.admin("/stats?filter=^listener_manager.lds.update_(success|rejected)$").splitlines()
    found = dict(line.split(": ") for line in lines)
    return {name: int(found.get(f"listener_manager.lds.{name}", 0)) for name in COUNTERS}
