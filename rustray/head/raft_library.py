"""PySyncObj, imported so that it leaves the rest of the process alone. No other file imports it.

Importing it replaces `socket.inet_ntop` by a function for Windows, on every system, and two entries of
`pickle._Unpickler`; both are put back here.
"""

from __future__ import annotations

import pickle
import socket
from typing import Any

_inet_pton, _inet_ntop = socket.inet_pton, socket.inet_ntop
_unpickler: Any = pickle._Unpickler
_dispatch = dict(_unpickler.dispatch)

from pysyncobj import SyncObj, SyncObjConf  # noqa: E402
from pysyncobj.node import TCPNode  # noqa: E402
from pysyncobj.transport import Transport  # noqa: E402

socket.inet_pton, socket.inet_ntop = _inet_pton, _inet_ntop
_unpickler.dispatch.update(_dispatch)

__all__ = ["SyncObj", "SyncObjConf", "TCPNode", "Transport"]
