"""The examples refuse options that make no sense before they compute, and say what they changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from arguments import compare, square  # noqa: E402


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("prime_finder.py --size 0", "--size: 0 is too small, it must be 1 or more"),
        ("prime_finder.py --tasks many", "--tasks: 'many' is not a whole number"),
        ("matrix_multiply.py --num-cpus 0", "--num-cpus: 0 is too small"),
        ("matrix_multiply.py --tasks -4", "--tasks: -4 is too small"),
        ("image_filter.py --size 3", "--size: 3 is too small, it must be 5 or more"),
        ("image_filter.py --output nowhere/a.png", "there is no folder nowhere"),
        ("image_filter.py --output a.xyz", "its name must end with one of .png"),
    ],
)
def test_an_odd_option_is_an_error_of_the_command_line(command: str, said: str) -> None:
    name, *options = command.split()
    ran = subprocess.run(
        [sys.executable, EXAMPLES / name, *options], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert said in ran.stderr


def test_a_changed_number_of_tasks_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert square(16, 2048) == 16
    assert capsys.readouterr().out == ""
    assert square(10, 2048) == 9
    assert "--tasks 10 becomes 9" in capsys.readouterr().out
    assert square(100, 5) == 25


def test_what_gains_nothing_is_not_called_a_speed_up() -> None:
    assert "too small" in compare(0.01, 0.5)
    assert "speed-up 2.00" in compare(0.4, 0.2)
    assert "speed-up 0.80" in compare(4.0, 5.0)
