"""A cluster in one thread, on a virtual clock and network: heads, nodes, workers and drivers, and what befalls them.

Everything that happens follows from a seed, so a failure is seen again by `python -m tests.simulation SEED --trace`.
Real here are the head (`head/reactor.py` and all its parts, `links.py`), the scheduler and the cluster's
facts, the node (`node/agent.py`, `pool.py`, `relays.py`, `neighbours.py`, `head_link.py`, `head_session.py`) and the
client's leases and actor channels (`driver/submitter.py`, `driver/actor_channel.py`). Models are the replicated log
(`raft.py`: plain raft), the operating system (`machine.py`), the network, the worker process, the object store
(none) and the user.
"""
