"""`rustray.kv`: small facts that all of a cluster share, as `rustray.kv.put("epoch", b"12")`.

A pair lives in the cluster's replicated state, beside names and jobs: it is there after a head has died, and whoever
reads sees every write that was acknowledged before. That has its price, so it is for configuration, progress and
results of a few bytes; arrays belong into `rustray.put`. Works the same in drivers, tasks and actors.

Keys are bytes, or text, which stands for its UTF-8 bytes. Each namespace has keys of its own; the default is that of
the job (`rustray.init(namespace=...)`). What a job without a namespace has put goes when the job ends.

All functions raise OptionError for a key, value or namespace that is not allowed, SessionError without a cluster, and
NotCommittedError when the heads could not agree on a change in time. While no head answers they wait, and say so; after
a minute they raise: NotCommittedError if it is a change, which may still be carried out, else SessionError.
"""

from __future__ import annotations

from typing import TypeVar, overload

from rustray.driver.current import current
from rustray.driver.session import Session
from rustray.errors import OptionError

MAX_KEY_BYTES = 4 << 10
MAX_VALUE_BYTES = 16 << 20

T = TypeVar("T")


def put(key: str | bytes, value: bytes, *, namespace: str | None = None, overwrite: bool = True) -> bool:
    """Set a key; True if it had no value before.

    Parameters
    ----------
    key: at most 4 KiB. value: at most 16 MiB; bytes, or what has a buffer of them.
    overwrite: whether a value that is there is replaced.
    """
    packed = _value(value)
    session, space = _place(namespace)
    added: bool = session.requests.query("kv_put", space, _key(key), packed, bool(overwrite))
    return added


@overload
def get(key: str | bytes, default: None = None, *, namespace: str | None = None) -> bytes | None: ...
@overload
def get(key: str | bytes, default: T, *, namespace: str | None = None) -> bytes | T: ...
def get(key: str | bytes, default: T | None = None, *, namespace: str | None = None) -> bytes | T | None:
    """The value of a key, `default` if it has none."""
    session, space = _place(namespace)
    value: bytes | None = session.requests.query("kv_get", space, _key(key))
    return default if value is None else value


def delete(key: str | bytes, *, namespace: str | None = None) -> bool:
    """Forget a key; True if it had a value."""
    session, space = _place(namespace)
    deleted: bool = session.requests.query("kv_delete", space, _key(key))
    return deleted


def exists(key: str | bytes, *, namespace: str | None = None) -> bool:
    """Whether a key has a value."""
    session, space = _place(namespace)
    there: bool = session.requests.query("kv_exists", space, _key(key))
    return there


@overload
def keys(prefix: str = "", *, namespace: str | None = None) -> list[str]: ...
@overload
def keys(prefix: bytes, *, namespace: str | None = None) -> list[bytes]: ...
def keys(prefix: str | bytes = "", *, namespace: str | None = None) -> list[str] | list[bytes]:
    """The keys that begin with `prefix`, sorted by their bytes: as text if the prefix is text, else as bytes.

    In text, what is not UTF-8 is escaped as `os.fsdecode` does it, and is accepted so.
    """
    session, space = _place(namespace)
    found: list[bytes] = session.requests.query("kv_keys", space, _key(prefix))
    if isinstance(prefix, str):
        return [key.decode(errors="surrogateescape") for key in found]
    return found


def _place(namespace: str | None) -> tuple[Session, str]:
    session = current()
    if namespace is None:
        return session, session.info["namespace"]
    if not isinstance(namespace, str) or not namespace:
        raise OptionError(f"namespace={namespace!r}: give a name, or leave it out for the job's own.")
    return session, namespace


def _key(key: str | bytes) -> bytes:
    if isinstance(key, str):
        try:
            key = key.encode(errors="surrogateescape")
        except UnicodeEncodeError as error:
            raise OptionError(f"The key {key!r} is no text that has bytes in UTF-8: {error}.") from None
    elif not isinstance(key, bytes):
        raise OptionError(f"A key is str or bytes, not {type(key).__name__}: {key!r}.")
    if len(key) > MAX_KEY_BYTES:
        raise OptionError(f"A key has at most {MAX_KEY_BYTES:,} bytes; this one has {len(key):,}.")
    return key


def _value(value: bytes) -> bytes:
    if isinstance(value, str):
        raise OptionError("A value is bytes, and this is a str: put value.encode(), and get(...).decode().")
    if not isinstance(value, bytes | bytearray | memoryview):
        raise OptionError(
            f"A value is bytes, not {type(value).__name__}: pickle.dumps(value) makes bytes of it, and "
            "rustray.put(value) stores any object."
        )
    size = value.nbytes if isinstance(value, memoryview) else len(value)
    if size > MAX_VALUE_BYTES:
        raise OptionError(
            f"A value has at most {MAX_VALUE_BYTES:,} bytes, for every head keeps it; this one has {size:,}. "
            "Store it with rustray.put() and share the ref, or in a file."
        )
    return bytes(value)
