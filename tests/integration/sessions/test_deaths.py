"""Other drivers of a cluster, and what goes when a driver or a process of the cluster dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

import rustray
from rustray.driver.current import current
from tests.integration.sessions.functions import double
from tests.support import eventually, lives, run_program, start_program

OTHER_DRIVER = """
    import os, sys, time, rustray
    rustray.init(address=sys.argv[1])

    @rustray.remote
    def who():
        return os.getpid()

    @rustray.remote
    class Held:
        def pid(self):
            return os.getpid()

    held = Held.options(num_cpus=0).remote()
    print(os.getpid(), rustray.get(who.remote()), rustray.get(held.pid.remote()), flush=True)
    big = rustray.put(bytes(1 << 20))
    print("ready", flush=True)
    if sys.argv[2] == "stay":
        @rustray.remote
        def long():
            time.sleep(1000)  # until it is killed, and so is the driver
        ref = long.remote()
        time.sleep(1000)  # until it is killed
"""


class TestOtherDrivers:
    def test_they_are_apart(self, cluster, tmp_path):
        @rustray.remote
        def pid():
            return os.getpid()

        mine = rustray.get(pid.remote())
        output = run_program(OTHER_DRIVER, cluster, "go", folder=tmp_path)
        _driver, worker, actor = map(int, output.splitlines()[0].split())
        assert worker != mine and actor != mine
        eventually(lambda: not lives(worker) and not lives(actor))
        assert lives(mine) and rustray.get(pid.remote()) and os.path.exists(cluster)

    def test_one_that_is_killed_takes_all_that_is_its_own(self, cluster, tmp_path):
        used = current().requests.query("store")["used"]
        process = start_program(OTHER_DRIVER, cluster, "stay", folder=tmp_path)
        assert process.stdout is not None
        driver, worker, actor = map(int, process.stdout.readline().split())
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.wait()
        process.stdout.close()
        eventually(lambda: not lives(worker) and not lives(actor))
        eventually(lambda: current().requests.query("store")["used"] <= used)
        assert rustray.get([double.remote(n) for n in range(10)])[-1] == 18

    def test_resources_are_those_of_the_cluster(self, cluster, tmp_path):
        output = run_program(
            """
            import sys, rustray
            try:
                rustray.init(address=sys.argv[1], num_cpus=3)
            except rustray.exceptions.OptionError as error:
                print(error)
            try:
                rustray.init(address="/nowhere")
            except rustray.exceptions.ClusterStartError as error:
                print(error)
            """,
            cluster,
            folder=tmp_path,
        )
        assert "has its own" in output and "No cluster of yours" in output


OWN_CLUSTER = """
    import os, subprocess, sys, time
    import numpy as np, rustray
    context = rustray.init(num_cpus=2)

    @rustray.remote
    def start():
        return os.getpid(), subprocess.Popen(["sleep", "600"]).pid

    @rustray.remote
    def busy():
        time.sleep(600)  # until something dies

    @rustray.remote(num_cpus=0)
    class Actor:
        def pid(self):
            return os.getpid()

    actor = Actor.remote()
    big = rustray.put(np.ones(1 << 20))
    worker, child = rustray.get(start.remote())
    from rustray.driver.current import current
    from rustray.driver.connecting import _server
    pids = _server.process.pid, worker, child, rustray.get(actor.pid.remote())
    try:  # who has read this line may interrupt it
        print(*pids, context["session_dir"], flush=True)
        rustray.get(busy.remote())
    except BaseException as error:
        print(type(error).__name__, error, flush=True)
    rustray.shutdown()
    print("shut down", flush=True)
"""


class TestDeath:
    @pytest.fixture
    def program(self, tmp_path):
        process = start_program(OWN_CLUSTER, folder=tmp_path)
        assert process.stdout is not None
        *pids, folder = process.stdout.readline().split()
        self.pids = [int(pid) for pid in pids]
        self.pids += [child.pid for child in psutil.Process(self.pids[0]).children(recursive=True)]
        self.folder = Path(folder)
        yield process
        process.kill()
        process.wait()
        process.stdout.close()

    def all_gone(self):
        eventually(lambda: not [pid for pid in self.pids if lives(pid)])

    def test_of_the_driver(self, program):
        program.kill()
        program.wait()
        self.all_gone()
        eventually(lambda: not self.folder.exists())

    def test_of_the_server(self, program):
        os.kill(self.pids[0], signal.SIGKILL)
        output = program.stdout.read()
        assert "SessionError The connection to the cluster was lost" in output and "shut down" in output
        assert "killed by signal 9" in output
        self.all_gone()
        assert not self.folder.exists()

    def test_of_the_zygote(self, program):
        zygote = psutil.Process(self.pids[0]).children()[0]
        zygote.kill()
        output = program.stdout.read()
        assert "SessionError" in output and "the zygote has ended" in output
        self.all_gone()
        assert not self.folder.exists()

    def test_of_a_worker_of_which_the_node_has_not_heard(self, program):
        """Its pid must not become another process's while the node may send it a signal."""
        server = psutil.Process(self.pids[0])
        worker = next(child for child in server.children(recursive=True) if child.ppid() != server.pid)
        server.suspend()
        worker.kill()
        eventually(lambda: not lives(worker.pid))
        with pytest.raises(psutil.TimeoutExpired):
            worker.wait(0.3)
        assert worker.status() == psutil.STATUS_ZOMBIE
        server.resume()
        worker.wait(10)

    def test_interrupted_driver(self, program):
        eventually(lambda: psutil.Process(program.pid).status() == psutil.STATUS_SLEEPING)
        program.send_signal(signal.SIGINT)
        output = program.stdout.read()
        assert "KeyboardInterrupt" in output and "shut down" in output
        self.all_gone()
        assert not self.folder.exists()

    def test_terminated_server(self, program):
        os.kill(self.pids[0], signal.SIGTERM)
        output = program.stdout.read()
        assert "SessionError" in output and "told to end by a signal (SIGTERM)" in output
        self.all_gone()
        assert not self.folder.exists()
