"""What two heads say to each other before and while they talk raft: proof of the token, then sealed frames.

    dialer                                      listener
    MAGIC, nonce d (32 bytes)           ->
                                        <-      MAGIC, nonce l, HMAC(key, "listener" d l)
    HMAC(key, "dialer" d l)             ->
    frames                             <->      frames

A frame is its length (4 bytes) and a ChaCha20-Poly1305 ciphertext of marshalled plain values. Each direction
has a key of its own, made of the token and both nonces, and counts its frames in the cipher's nonce.

Rule 1. Nothing of a peer is decoded before it has proved that it knows the token, and no frame before its
        seal is checked. So a frame cannot be read, made, changed, repeated or left out by others.
Rule 2. A peer may make us keep at most `FRAME_BYTES`, and before its proof not even a hundred.
"""

from __future__ import annotations

import hmac
import marshal
import os
import struct
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAGIC = b"RRAFT\0\0\1"
FRAME_BYTES = 1 << 20
_NONCE = 32
_PROOF = sha256().digest_size
_LENGTH = struct.Struct("<I")
_COUNTER = struct.Struct("<4xQ")  # the 12 bytes of the cipher's nonce


class LinkRefused(Exception):
    """The peer does not know the token, or what it sends is not for us."""


class SecureLink:
    """One end of a link, without the socket: `outgoing` is to be sent, `receive` takes what has arrived."""

    def __init__(self, token: bytes, dials: bool) -> None:
        self._key = hmac.digest(token, b"rustray raft link", sha256)
        self._dials = dials
        self._nonce = os.urandom(_NONCE)
        self._received = bytearray()
        self._seal: ChaCha20Poly1305 | None = None
        self._open: ChaCha20Poly1305 | None = None
        self._sealed = self._opened = 0  # frames
        self._expected_proof = b""
        self.established = False
        self.outgoing = bytearray(MAGIC + self._nonce if dials else b"")

    def send(self, message: Any) -> None:
        """Queue a message of plain values; only when `established`."""
        assert self._seal is not None
        data = self._seal.encrypt(_COUNTER.pack(self._sealed), marshal.dumps(message, 4), None)
        self._sealed += 1
        self.outgoing += _LENGTH.pack(len(data))
        self.outgoing += data

    def receive(self, data: bytes) -> list[Any]:
        """The messages that these bytes complete. Raises LinkRefused."""
        self._received += data
        if not self.established and not self._shake_hands():
            return []
        messages = []
        start = 0
        while len(self._received) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received, start)
            if length > FRAME_BYTES:
                raise LinkRefused(f"a frame of {length} bytes")
            end = start + _LENGTH.size + length
            if end > len(self._received):
                break
            messages.append(self._unseal(bytes(self._received[start + _LENGTH.size : end])))
            start = end
        del self._received[:start]
        return messages

    def _unseal(self, data: bytes) -> Any:
        assert self._open is not None
        try:
            plain = self._open.decrypt(_COUNTER.pack(self._opened), data, None)
        except InvalidTag:
            raise LinkRefused("a frame that was changed on its way") from None
        self._opened += 1
        return marshal.loads(plain)

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is over."""
        if self._expected_proof:  # the listener waits for the dialer's
            if len(self._received) < _PROOF:
                return False
            self._check_proof(self._take(_PROOF))
        elif self._dials:
            if len(self._received) < len(MAGIC) + _NONCE + _PROOF:
                return self._check_magic()
            self._check_magic()
            self._take(len(MAGIC))
            self._agree(self._nonce, self._take(_NONCE))
            self._check_proof(self._take(_PROOF))
        else:
            if len(self._received) < len(MAGIC) + _NONCE:
                return self._check_magic()
            self._check_magic()
            self._take(len(MAGIC))
            self._agree(self._take(_NONCE), self._nonce)
            return self._shake_hands()
        self.established = True
        return True

    def _check_magic(self) -> bool:
        head = bytes(self._received[: len(MAGIC)])
        if not MAGIC.startswith(head):
            raise LinkRefused("not a head of this version of RustRay")
        return False

    def _check_proof(self, proof: bytes) -> None:
        if not hmac.compare_digest(proof, self._expected_proof):
            raise LinkRefused("another token")

    def _agree(self, dialer: bytes, listener: bytes) -> None:
        """Both nonces are known: make the keys, send our proof, and know what the peer's has to be."""
        make = {
            label: hmac.digest(self._key, label + dialer + listener, sha256)
            for label in (b"dialer", b"listener", b"to listener", b"to dialer")
        }
        mine, theirs = (b"dialer", b"listener") if self._dials else (b"listener", b"dialer")
        self._seal = ChaCha20Poly1305(make[b"to " + theirs])
        self._open = ChaCha20Poly1305(make[b"to " + mine])
        self._expected_proof = make[theirs]
        self.outgoing += make[mine] if self._dials else MAGIC + self._nonce + make[mine]

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken
