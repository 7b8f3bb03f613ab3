"""What one run has learned of a function, the next one knows."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.support import run_program

PROGRAM = """
    import json, sys, time
    import rustray
    from rustray.driver.code_hash import code_hash

    rustray.init(num_cpus=2)
    time.sleep(0.3)  # the server reads its file meanwhile

    @rustray.remote
    def slow(): time.sleep(0.3); return bytearray(100 << 20) and None  # it takes what is to be learned

    @rustray.remote
    def quick(): pass

    seen = {}
    for function, count in ((slow, 2), (quick, 500)):
        refs = [function.remote() for _ in range(1)]
        known = function._target
        deadline = time.monotonic() + (60 if sys.argv[1] == "known" else 0.2)
        while known.estimate is None and time.monotonic() < deadline and function is slow:
            time.sleep(0.01)  # the first run learns of none: that cannot be awaited
        seen[function._name] = known.estimate
        rustray.get(refs + [function.remote() for _ in range(count)])
    print(json.dumps([seen, {each._name: code_hash(each._function).hex() for each in (slow, quick)}]))
"""


def run(
    state: Path, monkeypatch: pytest.MonkeyPatch, known: bool = False
) -> tuple[dict[str, float | None], dict[str, str]]:
    """The estimates that a run has when its tasks are submitted, and what its functions are kept under.

    If something is `known`, it is waited for.
    """
    monkeypatch.setenv("RUSTRAY_STATE_DIR", str(state))
    seen, keys = json.loads(run_program(PROGRAM, "known" if known else "unknown").splitlines()[-1])
    return seen, keys


def rows_of(state: Path) -> dict[str, list[float]]:
    """What was kept: (mean, spread, tasks, memory, seen) by function."""
    rows: dict[str, list[float]] = json.loads((state / "predictions.json").read_text())["functions"]
    return rows


def test_the_second_run_starts_with_the_estimates_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, keys = run(tmp_path, monkeypatch)
    assert first["slow"] is None
    kept = rows_of(tmp_path)
    assert stat.S_IMODE((tmp_path / "predictions.json").stat().st_mode) == 0o600
    mean, spread, count, *_rest = kept[keys["slow"]]
    # 0.4 s and less than a millisecond, and what others take of the processors.
    assert 0.25 < mean < 10 and spread < 10 and count == 3
    assert kept[keys["quick"]][0] < 1 and kept[keys["quick"]][2] == 501
    second, again = run(tmp_path, monkeypatch, known=True)
    assert again == keys, "the same source is the same function in every process"
    assert second["slow"] is not None and 0.25 < second["slow"] < 20
    assert rows_of(tmp_path)[keys["slow"]][2] == 6


def test_memory_of_workers_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
        import time, rustray
        rustray.init(num_cpus=1)

        @rustray.remote
        def large():
            held = bytearray(150 << 20)
            time.sleep(6)  # several times as long as from one look at the memory of workers to the next

        rustray.get(large.remote())
    """
    monkeypatch.setenv("RUSTRAY_STATE_DIR", str(tmp_path))
    run_program(program)
    (large,) = rows_of(tmp_path).values()
    assert large[3] > 140 << 20


def test_a_folder_that_cannot_be_written_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file", monkeypatch)[0]["slow"] is None
