"""``rustray certs``: certificates for TLS between the machines of a cluster."""

from __future__ import annotations

import argparse
import os
from typing import Any

from rustray.wire.security import CA_KEY_FILE


def add_commands(commands: Any) -> None:
    """Add ``certs``."""
    certs: argparse.ArgumentParser = commands.add_parser(
        "certs",
        help="make certificates for TLS",
        description="Make a certificate authority and a certificate in a folder. Run again with other names, it makes "
        "a new certificate of the same authority.",
    )
    certs.add_argument("folder", metavar="DIR", help="where to; it is made if it is not there")
    certs.add_argument(
        "--host",
        action="append",
        default=[],
        help="a name or address by which gRPC clients of other makes reach nodes; may be given several times",
    )
    certs.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make them."""
    from rustray.wire import certificates  # here: it loads a big library

    folder = os.path.abspath(options.folder)
    names = certificates.make(folder, options.host)
    print(f"""The certificate in {folder} is good for heads and nodes on any machine, and for gRPC clients that
reach them as {", ".join(names)}.
Copy the folder, but not {CA_KEY_FILE}, to each machine of the cluster, readable by you alone, and give --tls-dir to
'rustray start'. Programs on machines without a node need RUSTRAY_TLS_DIR.""")
    return 0
