"""The generated gRPC code is that of rustray.proto as it stands, made by the pinned grpcio-tools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTO = "rustray/wire/rustray.proto"
GENERATED = ("rustray_pb2.py", "rustray_pb2.pyi", "rustray_pb2_grpc.py")


def test_generated_code_is_current(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools of the test extra is not installed")
    out = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *out, PROTO], cwd=ROOT, check=True)
    stale = [
        name
        for name in GENERATED
        if (ROOT / "rustray/wire" / name).read_text() != (tmp_path / "rustray/wire" / name).read_text()
    ]
    assert not stale, (
        f"{', '.join(stale)}: run `python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. "
        f"--grpc_python_out=. {PROTO}` in the root of the repository, with the grpcio-tools of constraints.txt"
    )
