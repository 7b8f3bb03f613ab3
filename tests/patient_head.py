"""Heads that take a node for dead only after half a minute: for tests in which nodes are to be kept however long a busy
machine gives them no processor, and that are not about the time after which they are lost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from rustray.driver.launch import HeadSettings
from rustray.head import links, membership, process
from rustray.testing import Cluster, Head

NODE_TIMEOUT_S = 30.0


@dataclass(slots=True)
class PatientHead(HeadSettings):
    module: ClassVar[str] = "tests.patient_head"


class PatientCluster(Cluster):
    """All of its heads are patient."""

    def _start_head(self, address: str) -> Head:
        settings, host = self._head_settings[address]
        self._head_settings[address] = PatientHead(**asdict(settings)), host
        return super()._start_head(address)


if __name__ == "__main__":
    membership.NODE_TIMEOUT_S = NODE_TIMEOUT_S
    links.Links.__init__.__defaults__ = (NODE_TIMEOUT_S,)
    process.main()
