"""An end of a channel in another process, where it is to be stopped or killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.support import ROOT
from tests.unit.channels.ends import SECURITY

PRELUDE = f"""
import asyncio, sys
from rustray.wire.channels import ChannelServer, Security, dial
SECURITY = Security({SECURITY.token!r})
"""
SERVER = """
def on_channel(channel, hello):
    chunks = 0
    def on_messages(messages):
        nonlocal chunks
        for message in messages:
            if message[0] == "count":
                channel.send(("count", chunks))
            else:
                chunks += 1
    channel.on_messages = on_messages
async def main():
    server = ChannelServer(SECURITY, on_channel)
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
DIALLER = """
async def main():
    await dial(sys.argv[1], ("hello", 1), SECURITY, 20)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    program = textwrap.dedent(PRELUDE + code)
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def other_process() -> tuple[subprocess.Popen[str], str]:
    process = start(SERVER)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()
