"""Clusters for tests: real processes, gone when the test is over, even if it failed or was killed."""

from rustray.testing.cluster import Cluster
from rustray.testing.processes import ClusterProcess, Head, Host, Node

__all__ = ["Cluster", "ClusterProcess", "Head", "Host", "Node"]
