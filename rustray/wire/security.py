"""Who may speak to a head or node over the network: a token, and TLS with the cluster's own authority.

Nothing here imports grpc: drivers and the command line read tokens too.
"""

from __future__ import annotations

import hmac
import os
import socket
import stat
from dataclasses import dataclass, field

from rustray.errors import AuthenticationError, ClusterStartError, OptionError

CA_FILE, CA_KEY_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "ca.key", "cert.pem", "key.pem"
"""What a TLS folder has; `ca.key` only where certificates are made (`rustray certs`)."""
TLS_NAME = "member.rustray.internal"
"""The name that each certificate of `rustray certs` has, and that who dials asks for: to have a certificate of the
cluster's own authority is what proves a member, wherever it runs."""
TOKEN_VARIABLE = "RUSTRAY_TOKEN"
MIN_TOKEN = 16
MAKE_TOKEN = "python3 -c 'import secrets; print(secrets.token_hex(32))'"
EVERYWHERE = ("0.0.0.0", "::")
"""Who listens there does so at all addresses of the machine."""
_ELSEWHERE = "192.0.2.1:9"
"""An address that no machine has (RFC 5737): the way to it is that to other machines. Nothing is sent there."""


@dataclass(frozen=True)
class Security:
    """What one cluster's processes show each other.

    Parameters
    ----------
    token: shown by who calls, checked by who is called.
    ca: certificate of the authority in PEM, None for connections without TLS.
    cert, key: the certificate and key of this process in PEM; who only dials needs none.
    """

    token: str = field(repr=False)
    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.ca is not None

    @property
    def authorization(self) -> str:
        """The value of the metadata "authorization"."""
        return f"Bearer {self.token}"

    def admits(self, authorization: str | bytes) -> bool:
        """Whether this value is the right one; takes as long for a wrong one, wherever it differs."""
        given = authorization if isinstance(authorization, bytes) else authorization.encode()
        return hmac.compare_digest(given, self.authorization.encode())

    @classmethod
    def load(cls, token: str, tls_folder: str | None) -> Security:
        """With the files of a folder made by `rustray certs`, if one is given.

        Raises
        ------
        ClusterStartError: a file cannot be read.
        AuthenticationError: others can read the key.
        """
        if not tls_folder:
            return cls(token)
        read = []
        for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE):
            path = os.path.join(tls_folder, name)
            try:
                with open(path, "rb") as file:
                    mode = os.fstat(file.fileno()).st_mode
                    read.append(file.read())
            except OSError as error:
                raise ClusterStartError(
                    f"The TLS folder {tls_folder} has no readable {name}: {error}. Make one with 'rustray certs DIR', "
                    "or copy that of another machine of the cluster."
                ) from error
            if name == KEY_FILE and _is_open_to_others(mode):
                raise AuthenticationError(
                    f"Others can read {path}, and with the key they can pass for a process of the cluster. "
                    f"Make it yours alone: chmod 600 {path}"
                )
        return cls(token, *read)


def read_token(token_file: str | None = None) -> str | None:
    """The token that the user gives: from a file that is his alone, else from $RUSTRAY_TOKEN; None if neither.

    Raises
    ------
    AuthenticationError: the file cannot be read, others can read it, or what is in it is no token.
    """
    if token_file is None:
        token = os.environ.get(TOKEN_VARIABLE)
        return check_token(token.strip(), f"${TOKEN_VARIABLE}") if token else None
    try:
        with open(token_file, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(4096)
    except FileNotFoundError as error:
        raise AuthenticationError(
            f"There is no token file {token_file}. Make one, and copy it to all machines of the cluster: "
            f"(umask 077; {MAKE_TOKEN} >{token_file})"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AuthenticationError(f"The token file {token_file} cannot be read: {error}.") from error
    if _is_open_to_others(mode):
        raise AuthenticationError(
            f"Others can read the token file {token_file}, and with the token they can run programs as you. "
            f"Make it yours alone: chmod 600 {token_file}"
        )
    return check_token(token.strip(), token_file)


def _is_open_to_others(mode: int) -> bool:
    """Whether group or others may do anything with a file of this mode."""
    return stat.S_IMODE(mode) & 0o077 != 0


def check_token(token: str, where: str) -> str:
    """The token, if it can be one. AuthenticationError."""
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise AuthenticationError(
            f"The token in {where} is no token: it must have at least {MIN_TOKEN} ASCII characters without spaces. "
            f"Make one with: {MAKE_TOKEN}"
        )
    return token


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[::1]:port". OptionError."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not port.isdigit() or int(port) > 65535 or (":" in bare and bare == host):
        raise OptionError(f"{address!r} is no address: give HOST:PORT, as 10.0.0.1:6380 or [::1]:6380.")
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    """The reverse of `split_address`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def plain_address(address: str) -> str:
    """The address as processes name it: with 127.0.0.1 for localhost."""
    host, port = split_address(address)
    return join_address("127.0.0.1" if host == "localhost" else host, port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    import ipaddress  # not at the top: it takes milliseconds, and drivers import this module

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def leads_to_loopback(host: str) -> bool:
    """Whether a server that listens at `host`, a name or an address, is for this machine only.

    The name of a machine may: Debian gives it 127.0.1.1 in the file of hosts.
    """
    if is_loopback(host):
        return True
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False  # listening will tell that there is no such host
    return all(is_loopback(str(address[0])) for _family, _kind, _protocol, _name, address in found)


def is_own_host(host: str) -> bool:
    """Whether `host` is a name or address of this machine."""
    if is_loopback(host):
        return True
    try:
        for family, kind, protocol, _name, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
    except OSError:
        return False
    return True


def reachable_address(bound: str, towards: str = "") -> str:
    """Where others reach a server that listens at `bound`: as it is, unless it listens everywhere.

    Then it is the address of this machine from which it reaches `towards`, "host:port", or else its name.
    """
    host, port = split_address(bound)
    if host not in EVERYWHERE:
        return bound
    return join_address(outer_host(towards) if towards else socket.gethostname(), port)


def outer_host(towards: str) -> str:
    """The address of this machine from which it and the others of the cluster reach each other.

    Where `towards`, "host:port", is this machine by a name or address that is not loopback's, others may reach it by
    that, and so must not be told a loopback address.
    """
    host = host_towards(towards)
    if not is_loopback(host) or is_loopback(split_address(towards)[0]):
        return host
    outer = host_towards(_ELSEWHERE)
    return socket.gethostname() if is_loopback(outer) else outer


def host_towards(address: str) -> str:
    """The address of this machine from which it reaches `address`, "host:port"; its name if that is not known."""
    if is_loopback(split_address(address)[0]):
        return "127.0.0.1"
    try:
        family, kind, protocol, _name, found = socket.getaddrinfo(
            *split_address(address), type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(found)  # of datagrams: nothing is sent
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


def check_bind(host: str, security: Security, insecure: bool) -> None:
    """ClusterStartError if listening at `host` would let in whom the user does not mean to."""
    if insecure or leads_to_loopback(host):
        return
    missing = [what for what, there in (("a token", security.token), ("TLS", security.tls)) if not there]
    if missing:
        raise ClusterStartError(
            f"Refused to listen at {host} without {' and '.join(missing)}: whoever reads or forges this traffic can "
            "run programs as you. Run 'rustray certs DIR' and give --tls-dir DIR (programs: RUSTRAY_TLS_DIR), stay on "
            "127.0.0.1, or give --insecure (programs: RUSTRAY_INSECURE=1) if the network is yours alone."
        )
