"""What tasks have around them: folder, environment, modules, devices, runtime environment."""

from __future__ import annotations

import os
from pathlib import Path

import rustray
from tests.support import Gate, run_program


class TestWhatWorkersSee:
    def test_the_drivers_place(self, tmp_path):
        (tmp_path / "beside_the_script.py").write_text("def value():\n    return 'beside'\n")
        output = run_program(
            """
            import os, sys, rustray
            import beside_the_script

            os.environ["MINE"] = "set by the driver"
            sys.path.append("/only/here")

            class Here:
                shared = "by value"

            @rustray.remote
            def f():
                import beside_the_script as again
                return (os.getcwd(), os.environ["MINE"], "/only/here" in sys.path, again.value(),
                        beside_the_script.value(), Here)

            if __name__ == "__main__":
                rustray.init(num_cpus=1)
                *rest, cls = rustray.get(f.remote())
                print(*rest, cls is Here, cls.shared)
            """,
            folder=tmp_path,
        )
        assert output.split(None, 1)[0] == str(tmp_path)
        assert output.split(None, 1)[1] == "set by the driver True beside beside True by value\n"

    def test_gpus(self, cluster, tmp_path):
        gate = Gate(tmp_path / "gate")

        @rustray.remote(num_gpus=1)
        def gpu():
            gate.wait()
            return os.environ["CUDA_VISIBLE_DEVICES"], rustray.get_gpu_ids()

        @rustray.remote
        def none():
            return os.environ["CUDA_VISIBLE_DEVICES"]

        refs = [gpu.remote(), gpu.remote()]
        gate.wait_for_waiters(2)
        gate.open()
        one, two = rustray.get(refs)
        assert {one[0], two[0]} == {"0", "1"} and one[1] == [int(one[0])]
        assert rustray.get(gpu.options(num_gpus=2).remote())[0] == "0,1"
        assert rustray.get(none.remote()) == ""

    def test_runtime_env_of_a_task(self, cluster, tmp_path):
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "data.txt").write_text("data")
        (tmp_path / "sent").mkdir()
        (tmp_path / "sent" / "__init__.py").write_text("name = 'sent'\n")

        @rustray.remote
        def look():
            import importlib.util

            name = None
            if importlib.util.find_spec("sent"):
                import sent

                name = sent.name
            return os.environ.get("FLAVOUR"), Path("data.txt").exists(), name, os.getpid()

        env = {
            "env_vars": {"FLAVOUR": "plum"},
            "working_dir": str(tmp_path / "work"),
            "py_modules": [str(tmp_path / "sent")],
        }
        plain = rustray.get(look.remote())
        special = rustray.get(look.options(runtime_env=env).remote())
        assert plain[:3] == (None, False, None)
        assert special[:3] == ("plum", True, "sent")
        assert plain[3] != special[3]
        assert rustray.get(look.options(runtime_env={"env_vars": {"FLAVOUR": "fig"}}).remote())[0] == "fig"

    def test_runtime_env_of_the_job(self, tmp_path):
        (tmp_path / "helper.py").write_text("value = 'from the module'\n")
        output = run_program(
            """
            import os, rustray
            rustray.init(num_cpus=1, runtime_env={"env_vars": {"A": "1", "B": "1"}, "py_modules": ["helper.py"]})

            @rustray.remote
            def f():
                import helper
                return os.environ["A"], os.environ["B"], helper.value

            print(rustray.get(f.remote()))
            print(rustray.get(f.options(runtime_env={"env_vars": {"B": "2"}}).remote()))
            """,
            folder=tmp_path,
        )
        assert output == "('1', '1', 'from the module')\n('1', '2', 'from the module')\n"


def test_a_file_with_the_name_of_a_standard_module(tmp_path):
    (tmp_path / "asyncio.py").write_text("mine = True\n")  # which the server needs and a driver does not
    output = run_program(
        """
        import asyncio, rustray
        rustray.init(num_cpus=1)

        @rustray.remote
        def f():
            import asyncio
            return asyncio.mine

        print(asyncio.mine, rustray.get(f.remote()), rustray.util.ActorPool.__name__)
        """,
        folder=tmp_path,
    )
    assert output == "True True ActorPool\n"
