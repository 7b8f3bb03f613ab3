"""A certificate authority for one cluster, and certificates of it: what `rustray certs` makes.

One folder has all that a head or node needs: copy it, without `ca.key`, to each machine.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from rustray import private_files
from rustray.errors import ClusterStartError
from rustray.wire.security import CA_FILE, CA_KEY_FILE, CERTIFICATE_FILE, KEY_FILE, TLS_NAME

VALID_DAYS = 3650
_CLOCK_SKEW = datetime.timedelta(hours=1)


def local_names() -> list[str]:
    """Names and addresses by which this machine is known to itself."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()]
    try:
        names += {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:
        pass  # its own name is in no table: the user gives those that others use
    return list(dict.fromkeys(name.partition("%")[0] for name in names))


def make(folder: str, hosts: Sequence[str]) -> list[str]:
    """Make a certificate in `folder`, with an authority if there is none yet.

    It is good for heads and nodes on any machine; `hosts` are the names by which clients of other makes reach them,
    beside those of this machine. The folder becomes 0700, all in it 0600. An authority that is there already stays,
    so that the certificates of other machines remain good.

    Returns
    -------
    The names that the certificate is for.

    Raises
    ------
    ClusterStartError: the folder cannot be written, is another's or can be written by others, or holds something else.
    """
    names = list(dict.fromkeys([*hosts, *local_names()]))
    pem = serialization.Encoding.PEM
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        private_files.check_folder(folder)  # before anything that is there is believed
        os.chmod(folder, 0o700)
        authority, authority_key = _authority(folder)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate([*names, TLS_NAME], key, authority, authority_key)
        private_files.write(os.path.join(folder, KEY_FILE), _pem_of(key))
        private_files.write(os.path.join(folder, CERTIFICATE_FILE), certificate.public_bytes(pem))
        private_files.write(os.path.join(folder, CA_FILE), authority.public_bytes(pem))
    except (OSError, ValueError) as error:
        raise ClusterStartError(f"Certificates cannot be made in {folder}: {error}.") from error
    return names


def _authority(folder: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if os.path.exists(os.path.join(folder, CA_KEY_FILE)):
        with open(os.path.join(folder, CA_KEY_FILE), "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        with open(os.path.join(folder, CA_FILE), "rb") as file:
            authority = x509.load_pem_x509_certificate(file.read())
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{CA_KEY_FILE} is of another kind than those that RustRay makes")
        return authority, key
    if os.path.exists(os.path.join(folder, CA_FILE)):
        raise ValueError(
            f"it has {CA_FILE} but not {CA_KEY_FILE}, which signs certificates: make them where that is"
        )
    new = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "RustRay cluster authority")])
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        _builder(name, name, new.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(new.public_key()), critical=False)
        .sign(new, hashes.SHA256())
    )
    private_files.write(os.path.join(folder, CA_KEY_FILE), _pem_of(new))
    return authority, new


def _certificate(
    names: Iterable[str],
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "RustRay")])
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        _builder(subject, authority.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
