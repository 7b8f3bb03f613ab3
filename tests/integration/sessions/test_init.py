"""How sessions begin and end, and what they leave: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

import rustray
from rustray.driver import registry
from rustray.errors import ClusterStartError
from rustray.exceptions import SessionError
from tests.integration.sessions.functions import double
from tests.support import run_program


class TestInit:
    def test_twice(self, cluster):
        with pytest.raises(SessionError, match="already"):
            rustray.init()
        assert rustray.init(ignore_reinit_error=True)["session_dir"] == cluster
        assert rustray.is_initialized()

    def test_what_programs_ask_rays_context(self, cluster):
        context = rustray.init(ignore_reinit_error=True)
        assert context.address_info == dict(context) and context.address_info["node_id"]
        assert context.dashboard_url == ""
        assert rustray.util.get_node_ip_address() == rustray.nodes()[0]["NodeManagerAddress"]

    def test_a_task_can_neither_leave_its_cluster_nor_join_another(self, cluster):
        @rustray.remote(max_retries=0)
        def leave():
            with pytest.raises(SessionError, match="in a task or an actor.*leave the call out"):
                rustray.init()
            context = rustray.init(ignore_reinit_error=True)
            assert context["session_dir"] == cluster and os.path.exists(context["address"])
            with context:  # its end is that of the connection
                pass

        with pytest.raises(SessionError, match="leave the call out.*exit_actor"):
            rustray.get(leave.remote())
        assert rustray.get(double.remote(21)) == 42

    def test_an_actor_that_cannot_leave_goes_on(self, cluster):
        @rustray.remote
        class Leaving:
            def leave(self):
                rustray.shutdown()

            def is_here(self):
                return rustray.is_initialized() and rustray.get(double.remote(21)) == 42

        actor = Leaving.remote()
        with pytest.raises(SessionError, match="cannot leave"):
            rustray.get(actor.leave.remote())
        assert rustray.get(actor.is_here.remote())
        rustray.kill(actor)

    def test_again_after_shutdown_and_shutdown_twice(self, tmp_path):
        output = run_program(
            """
            import rustray

            @rustray.remote
            def f(x):
                return x

            for number in range(2):
                rustray.init(num_cpus=1)
                assert rustray.get(f.remote(number)) == number
                ref = f.remote("old")
                rustray.shutdown()
                rustray.shutdown()
                assert not rustray.is_initialized()
            for call in (lambda: rustray.get(ref), lambda: rustray.wait([ref]), lambda: rustray.cancel(ref),
                         lambda: rustray.nodes()):
                try:
                    call()
                except rustray.exceptions.SessionError as error:
                    print("SessionError")
            rustray.init(num_cpus=1)
            try:
                rustray.get(ref)
            except rustray.exceptions.SessionError as error:
                print("of another session:", error)
            try:
                f.remote(ref)
            except rustray.exceptions.SessionError as error:
                print("as an argument:", error)
            print(rustray.get(f.remote("new")))
            """,
            folder=tmp_path,
        )
        assert output.count("SessionError\n") == 4
        assert "of another session:" in output and "as an argument:" in output and output.endswith("new\n")

    def test_remote_starts_a_cluster_by_itself(self, tmp_path):
        output = run_program(
            """
            import rustray

            @rustray.remote
            def f():
                return "started"

            print(rustray.get(f.remote()), rustray.is_initialized())
            """,
            folder=tmp_path,
        )
        assert output == "started True\n"

    def test_unknown_arguments(self):
        with pytest.raises(rustray.exceptions.OptionError, match="num_cpus"):
            rustray.init(num_cpu=1)

    def test_arguments_of_ray(self, cluster):
        kept = {
            "logging_level": "error",
            "include_dashboard": False,
            "local_mode": False,
            "log_to_driver": None,
        }
        assert rustray.init(ignore_reinit_error=True, job_config=None, **kept)["session_dir"] == cluster
        with pytest.warns(UserWarning, match="f._function"):
            rustray.init(ignore_reinit_error=True, local_mode=True)
        with pytest.raises(rustray.exceptions.OptionError, match="runtime_env="):
            rustray.init(ignore_reinit_error=True, job_config=object())

    def test_as_a_context_manager(self, tmp_path):
        output = run_program(
            """
            import rustray
            with rustray.init(num_cpus=1) as context:
                print(rustray.is_initialized(), context["namespace"] != "")
            print(rustray.is_initialized())
            """,
            folder=tmp_path,
        )
        assert output == "True True\nFalse\n"


def test_a_runtime_folder_that_is_a_link(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(tmp_path / "link"))
    with pytest.raises(ClusterStartError, match="not a link"):
        registry.runtime_folder()


def test_nothing_heavy_is_imported_and_nothing_is_left(tmp_path):
    output = run_program(
        """
        import sys, rustray
        rustray.init(num_cpus=1)

        @rustray.remote
        def f():
            return [name for name in ("grpc", "asyncio", "numpy", "psutil") if name in sys.modules]

        print(rustray.get(f.remote()))
        print([name for name in ("grpc", "asyncio", "numpy", "psutil") if name in sys.modules])
        """,
        folder=tmp_path,
    )
    assert output == "[]\n[]\n"


def test_more_actors_than_the_usual_limit_of_open_files_has_room_for(tmp_path):
    program = """
        import resource, rustray
        usual = 64
        resource.setrlimit(resource.RLIMIT_NOFILE, (usual, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        rustray.init(num_cpus=2)

        @rustray.remote(num_cpus=0)
        class Actor:
            def limit(self):
                return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

        actors = [Actor.remote() for _ in range(usual)]
        print(set(rustray.get([actor.limit.remote() for actor in actors])) == {usual})  # what tasks run keeps its own
    """
    assert run_program(program, folder=tmp_path).strip() == "True"


def test_no_session_folder_is_left(tmp_path):
    script = tmp_path / "short.py"
    script.write_text("import rustray\nrustray.init(num_cpus=1)\n")
    with tempfile.TemporaryDirectory(prefix="rr-") as folder:  # short, for the path of a socket in it
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "RUSTRAY_RUNTIME_DIR": folder, "PYTHONPATH": os.getcwd()},
            check=True,
            timeout=30,
        )
        assert not os.listdir(folder)
