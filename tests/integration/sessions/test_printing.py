"""What tasks print is shown by the driver."""

from __future__ import annotations

from tests.support import run_program


class TestPrinting:
    def test_lines_are_there_before_the_result(self, tmp_path):
        output = run_program(
            """
            import sys, rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def inner():
                print("from inside")

            @rustray.remote
            def speak(n):
                print("line", n)
                print("error line", n, file=sys.stderr)
                print("unfinished", n, end="")
                if n == 1:
                    rustray.get(inner.remote())

            for n in range(3):
                rustray.get(speak.remote(n))
                print("got", n)
            """,
            folder=tmp_path,
        )
        lines = output.splitlines()
        for n in range(3):
            at = lines.index(f"got {n}")
            since = lines[lines.index(f"got {n - 1}") + 1 if n else 0 : at]
            assert any(line.startswith("(speak pid=") and line.endswith(f") line {n}") for line in since), (
                output
            )
            assert any(line.endswith(f") error line {n}") for line in since)
            assert any(line.endswith(f") unfinished {n}") for line in since)
        assert "from inside" in output

    def test_a_closed_output_ends_no_session(self, tmp_path):
        output = run_program(
            """
            import os, sys, time, rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def speak():
                print("into nothing")
                return 1

            reader, writer = os.pipe()
            os.close(reader)
            sys.stdout = os.fdopen(writer, "w", 1)
            for _ in range(2):
                assert rustray.get([speak.remote(), speak.remote()], timeout=20) == [1, 1]
            sys.stdout = sys.__stdout__
            print("goes on")
            """,
            folder=tmp_path,
        )
        assert output.count("shown no more") == 1 and "goes on" in output

    def test_not_if_not_wanted(self, tmp_path):
        output = run_program(
            """
            import rustray
            rustray.init(num_cpus=1, log_to_driver=False)

            @rustray.remote
            def speak():
                print("not to be seen")

            rustray.get(speak.remote())
            """,
            folder=tmp_path,
        )
        assert output == ""

    def test_what_a_task_has_printed_can_be_had_again(self, tmp_path):
        output = run_program(
            """
            import rustray
            rustray.init(num_cpus=1, log_to_driver=False)

            @rustray.remote
            def speak(n):
                print("line", n)
                display({"n": n})
                print("unfinished", end="")

            refs = [speak.remote(n) for n in range(2)]
            rustray.get(refs)
            print(rustray.logs(refs[1]), end="")
            try:
                rustray.logs(rustray.get(rustray.remote(lambda: rustray.put(1)).remote()))
            except rustray.exceptions.RayError as error:
                print("another's" in str(error))
            """,
            folder=tmp_path,
        )
        assert output == "line 1\n{'n': 1}\nunfinished\nTrue\n"

    def test_floods_end_up_in_the_workers_log(self, tmp_path):
        output = run_program(
            """
            import re, rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def flood():
                for n in range(200_000):
                    print("line of a flood", n, "." * 40)

            ref = flood.remote()
            rustray.get(ref)
            told = re.search(r"only in the worker's log, (\\S+) on ", str(rustray.logs(ref)))
            print("in the file:", "line of a flood 199999" in open(told[1]).read())
            """,
            folder=tmp_path,
        )
        lines = output.splitlines()
        assert len(lines) < 6000 and "in the file: True" in lines
        assert any("not shown; rustray.logs(ref) has more of it" in line for line in lines)

    def test_what_is_printed_past_python(self, tmp_path):
        output = run_program(
            """
            import rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def speak():
                import ctypes, os, subprocess, sys
                print("first")
                subprocess.run(["sh", "-c", "echo from a process; echo and its error >&2"], check=True)
                os.write(1, b"by descriptor")
                libc = ctypes.CDLL(None)
                libc.printf(b"from C\\n")
                libc.fflush(None)

            rustray.get(speak.remote())
            print("got it")
            """,
            folder=tmp_path,
        )
        lines = [line.partition(") ")[2] or line for line in output.splitlines()]
        assert lines == ["first", "from a process", "and its error", "by descriptorfrom C", "got it"]
