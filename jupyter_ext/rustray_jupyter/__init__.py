"""RustRay in the Jupyter server: clusters over REST, live data over a WebSocket, dashboards as pages."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from rustray_jupyter.extension import RustRayExtension

    return [{"module": "rustray_jupyter", "app": RustRayExtension}]
