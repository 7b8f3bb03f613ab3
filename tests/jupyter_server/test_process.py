"""What the extension brings into the process of the Jupyter server."""

from __future__ import annotations

import subprocess
import sys

from ..support import ROOT

PROGRAM = """
import sys
from rustray_jupyter import _jupyter_server_extension_points
(point,) = _jupyter_server_extension_points()
at_start = set(sys.modules)
from rustray_jupyter import dashboards
dashboards.items(dashboards.panel_names())
print(*sorted({"grpc", "google.protobuf", "bokeh", "numpy", "IPython"} & at_start))
print(*sorted({"grpc", "google.protobuf", "IPython"} & set(sys.modules)))
"""


def test_grpc_is_never_loaded_and_bokeh_with_the_first_page() -> None:
    environment_path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'jupyter_ext')!r}]\n"
    ran = subprocess.run(
        [sys.executable, "-c", environment_path + PROGRAM], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["", ""]
