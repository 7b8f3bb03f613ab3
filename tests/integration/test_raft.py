"""What the heads acknowledged survives: real processes, killed, stopped, cut off, without memory.

Each test ends with `Cluster.check`: of all that was acknowledged nothing is lost, twice, or out of order, and all
heads have the same.
"""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest

from tests.raft_cluster import RETRIED, Cluster, Gone, Head, free_addresses
from tests.raft_head import FAST
from tests.raft_network import Network
from tests.support import eventually


def grows(count: int, by: int, cluster: Cluster) -> bool:
    return len(cluster.history) >= count + by


def let_grow(cluster: Cluster, by: int = 30) -> None:
    count = len(cluster.history)
    eventually(lambda: grows(count, by, cluster))


def test_the_leader_is_killed_under_load(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.load():
            for _ in range(2):
                let_grow(cluster)
                leader = cluster.leader()
                leader.kill()
                cluster.leader(cluster.others(leader))
                let_grow(cluster)
                cluster.start(leader.address)
        assert len(cluster.check()) > 100


def test_all_heads_are_killed_and_started_again(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.load():
            let_grow(cluster, 100)
            for head in cluster.heads.values():
                head.process.kill()
            for address in list(cluster.heads):
                cluster.start(address, wait=False)
            let_grow(cluster)
        cluster.check()


def test_a_stopped_leader_wakes_up_deposed(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        with cluster.load():
            let_grow(cluster)
            old = cluster.leader()
            old.pause()
            old.leads = False  # the writers need not wait for it
            # asked while it does not run, it finds the question when it wakes
            number = old.begin("append", {"item": "too late", "operation": "too late"})
            cluster.leader(cluster.others(old))
            let_grow(cluster)
            old.resume()
            assert old.end(number).get("error") in ("not_leader", "unknown_outcome")
            old.wait("follower")
            let_grow(cluster)
        assert "too late" not in cluster.check()


def test_a_leader_cut_off_acknowledges_nothing(tmp_path: Path) -> None:
    network = Network()
    with Cluster(tmp_path, network=network) as cluster:
        cluster.append()
        old = cluster.leader()
        others = cluster.others(old)
        network.cut(old.address, others)
        lost = [old.begin("append", {"item": f"lost {n}", "operation": f"lost {n}"}) for n in range(20)]
        new = cluster.leader(others)
        kept = [cluster.append(among=others) for _ in range(20)]
        results = [old.end(number) for number in lost]
        assert {result.get("error") for result in results} <= {"unknown_outcome", "not_leader"}
        assert old.submit("append", {"item": "lost", "operation": "lost"})["error"] == "not_leader"
        network.heal()
        tape = cluster.check()
        assert kept[-1].item in tape
        assert not [item for item in tape if item.startswith("lost")]
        assert eventually(lambda: old.status()["leader"]) == new.address


def test_a_leader_cut_off_while_the_others_compact(tmp_path: Path) -> None:
    """The deposed leader has a tail of its own, and what it missed comes as a snapshot, in many pieces: none of them
    is a reason to believe in that tail. It does not depose itself before, so its commands still wait."""
    network = Network()
    patient = FAST._replace(fallback=30.0)
    with Cluster(tmp_path, network=network, compact_entries=200, timing=patient) as cluster:
        for _ in range(20):
            cluster.append(size=100_000)
        while True:
            old = cluster.leader()
            others = cluster.others(old)
            network.cut(old.address, others)
            if old.status()["leads"]:  # now nobody can depose it
                break
            network.heal()
        lost = [old.begin("append", {"item": f"lost {n}", "operation": f"lost {n}"}) for n in range(100)]
        cluster.leader(others)
        with cluster.load(8, among=others):
            let_grow(cluster, 600)
        assert all("snapshot" in names(cluster, other) for other in others)
        network.heal()
        assert {old.end(number).get("error") for number in lost} == {"unknown_outcome"}
        tape = cluster.check()
        assert not [item for item in tape if item.startswith("lost")]
        assert "snapshot" in names(cluster, old.address)


def test_a_head_that_was_away_gets_a_snapshot_and_the_rest(tmp_path: Path) -> None:
    with Cluster(tmp_path, compact_entries=100) as cluster:
        cluster.append()
        away = next(h for h in cluster.heads.values() if not h.leads)
        away.kill()
        with cluster.load(8):
            let_grow(cluster, 400)
            cluster.start(away.address)
            let_grow(cluster, 100)
        cluster.check()
        for head in list(cluster.heads.values()):
            head.kill()
        for address in list(cluster.heads):
            cluster.start(address, wait=False)
        cluster.check()


@pytest.mark.parametrize(
    "point", ["half a snapshot", "snapshot not renamed", "log not shortened", "one segment removed"]
)
def test_a_crash_inside_compaction(tmp_path: Path, point: str) -> None:
    with Cluster(tmp_path, count=1, compact_entries=100_000, segment_bytes=1 << 16) as cluster:
        for _ in range(8):
            cluster.append(size=20_000)
        head = cluster.leader()
        head.ask("crash_at", "armed", point, 1)
        head.tell("compact")
        with pytest.raises(Gone):  # entries behind the snapshot are acknowledged before it has its place
            while True:
                cluster.append_once(head, *(f"{point} {len(cluster.history) + n}" for n in range(20)))
        assert head.join() == 9
        cluster.start(head.address)
        cluster.append()
        cluster.leader().tell("compact")
        eventually(lambda: len([n for n in names(cluster, head.address) if n.startswith("journal")]) <= 2)
        cluster.leader().kill()
        cluster.start(head.address)
        cluster.check()


def test_a_crash_inside_an_append(tmp_path: Path) -> None:
    with Cluster(tmp_path, count=1) as cluster:
        (address,) = cluster.heads
        for after in (1, 2, 7):
            head = cluster.leader()
            head.ask("crash_at", "armed", "half an append", after)
            with pytest.raises(Gone):
                for n in range(10):
                    cluster.append_once(head, f"{after} {n}")
            assert head.join() == 9
            cluster.start(address)
            cluster.append()
        cluster.check()


def test_the_same_operation_is_carried_out_once(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.append("first")
        head = cluster.leader()
        payload = {"item": "again", "operation": "again"}
        numbers = [head.begin("append", payload) for _ in range(50)]
        results = [head.end(number) for number in numbers]
        results.append(cluster.submit("append", payload))
        head.kill()
        results += [cluster.submit("append", payload) for _ in range(5)]
        acknowledged = [result for result in results if result.get("error") not in RETRIED]
        assert len(acknowledged) >= 6 and {result["position"] for result in acknowledged} == {1}
        cluster.start(head.address)
        assert cluster.check().count("again") == 1


def test_a_head_that_lost_its_folder_receives_all_and_only_then_votes(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        for _ in range(20):
            cluster.append()
        old = cluster.leader()
        lost, keeps = (cluster.heads[address] for address in cluster.others(old))
        lost.kill()
        shutil.rmtree(lost.settings["folder"])
        # Alone with a head that may have missed the last entries, it must not make up a majority.
        old.kill()
        eventually(lambda: not keeps.status()["leads"])  # it may have been elected before
        blank = cluster.start(lost.address)
        with pytest.raises(AssertionError):
            cluster.leader(timeout=2.0)
        assert "empty" in blank.status()["waiting"]
        cluster.start(old.address)
        cluster.append()
        eventually(lambda: blank.status()["waiting"] == "")
        keeps.kill()
        cluster.append()  # it counts again
        cluster.start(keeps.address)
        cluster.check()


def test_big_commands_go_through_in_pieces(tmp_path: Path) -> None:
    with Cluster(tmp_path, compact_entries=500) as cluster:
        with cluster.load(2):
            big = cluster.append("big", size=(16 << 20) - 1000, patience=20.0)
            let_grow(cluster)
            assert len(big.item) > 16_000_000
        too_big = {"item": "." * (17 << 20), "operation": "too big"}
        assert cluster.submit("append", too_big, patience=20.0)["error"] == "too_large"
        cluster.check()


def test_a_command_that_cannot_be_applied_stops_nobody(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.append()
        assert cluster.submit("poison", {})["error"] == "apply_failed"
        cluster.append()
        for other in list(cluster.heads.values()):
            other.kill()
        for address in list(cluster.heads):
            cluster.start(address, wait=False)
        cluster.check()


def test_cluster_state_comes_back(tmp_path: Path) -> None:
    with Cluster(tmp_path, count=1, state="ClusterState") as cluster:
        head = cluster.leader()
        put = {"namespace": "n", "key": b"k", "value": b"v" * 100_000, "overwrite": True}
        assert head.submit("kv_put", put) == {"added": True}
        before = head.status()["state"]
        head.tell("compact")
        eventually(lambda: "snapshot" in names(cluster, head.address))
        for path in Path(head.settings["folder"]).iterdir():
            assert path.stat().st_mode & 0o077 == 0, path  # values may be secrets
        head.stop()
        again = cluster.start(head.address)
        cluster.leader()
        assert again.status()["state"] == before


def test_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    with Cluster(tmp_path, count=1, segment_bytes=1 << 16) as cluster:
        head = cluster.leader()
        for _ in range(8):
            cluster.append(size=20_000)
        head.tell("compact")
        eventually(lambda: "journal-000000000000" not in names(cluster, head.address))
        head.stop()
        folder = Path(head.settings["folder"])
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept)
        damages = {
            "snapshot cut": lambda: cut(folder / "snapshot"),
            "snapshot gone": (folder / "snapshot").unlink,
            "journal gone": lambda: [path.unlink() for path in folder.glob("journal-*")],
            "journal cut": lambda: cut(max(folder.glob("journal-*"))),
        }
        for name, damage in damages.items():
            damage()
            again = cluster.start(head.address, wait=False)
            kind, text = again.wait("refused")
            assert kind == "ClusterStateError" and "damaged" in text, name
            again.join()
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
        cluster.start(head.address)
        cluster.check()


def test_what_a_head_is_started_with_is_checked(tmp_path: Path) -> None:
    one, two, three, four = free_addresses(4)
    with Cluster(tmp_path, count=1) as cluster:
        head = cluster.leader()
        again = Head(head.settings)
        assert again.wait("refused")[0] == "ClusterStartError"  # the folder is in use
        again.join()
        with socket.create_server(("127.0.0.1", int(two.rpartition(":")[2]))):
            other = {"address": two, "bind": two, "others": [three, four], "folder": str(tmp_path / "other")}
            taken = Head({**head.settings, **other})
            kind, text = taken.wait("refused")
            assert kind == "ClusterStartError" and two in text
            taken.join()
        head.stop()
        changed = Head({**head.settings, "others": [three, four]})
        kind, text = changed.wait("refused")
        assert kind == "ClusterStateError" and "fixed" in text
        changed.join()


def test_one_head_is_quick_and_costs_little(tmp_path: Path) -> None:
    with Cluster(tmp_path, count=1) as cluster:
        took: list[float] = []
        for _ in range(6):
            begun = time.monotonic()
            head = cluster.leader()
            took.append(time.monotonic() - begun)
            head.kill()
            cluster.start(head.address)
        assert min(took) < 0.1, took  # 15 ms, if nobody else wants the processor just then
        used = cluster.leader().status()["cpu"]
        time.sleep(1.0)  # idle, which is what is measured
        assert cluster.leader().status()["cpu"] - used < 0.1


def names(cluster: Cluster, address: str) -> list[str]:
    return [path.name for path in Path(cluster.settings[address]["folder"]).iterdir()]


def cut(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)
