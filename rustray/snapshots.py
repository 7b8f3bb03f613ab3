"""Copies of directories and archives, named by their content, made once and shared.

A copy is made beside its final place and renamed, so a reader meets a whole one or none, and of two that are
made at once one wins.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

from rustray.errors import RuntimeEnvSetupError

MAX_BYTES = 500 * 2**20  # as Ray
NEVER_COPIED = (".git", "__pycache__")


def snapshot(path: str, excludes: Sequence[str], into: str, *, keep_name: bool) -> str:
    """A directory with the content of `path` as it is now.

    Parameters
    ----------
    path: absolute; a directory, an archive (.zip, .whl), or a single file.
    excludes: patterns as in .gitignore, relative to `path`.
    into: where copies lie.
    keep_name: a directory is copied under its own name into the result, for a package to be imported by it.

    Raises
    ------
    RuntimeEnvSetupError: `path` cannot be read, or holds more than 500 MiB.
    """
    try:
        if os.path.isdir(path):
            return _of_directory(path, excludes, into, keep_name)
        return _of_file(path, into, keep_name)
    except OSError as error:
        raise RuntimeEnvSetupError(
            f"runtime_env: {path!r} cannot be copied into the session directory: {error}."
        ) from error


def _of_directory(path: str, excludes: Sequence[str], into: str, keep_name: bool) -> str:
    files = list(_files(path, excludes))
    _check_size(path, ((name, os.stat(os.path.join(path, name)).st_size) for name in files))
    below = os.path.basename(path) if keep_name else ""
    digest = blake2b(below.encode(), digest_size=16)
    for name in files:
        source = os.path.join(path, name)
        executable = os.stat(source).st_mode & stat.S_IXUSR
        digest.update(f"\0{name}\0{executable}\0".encode(errors="surrogateescape"))
        digest.update(_content_digest(source))

    def fill(target: str) -> None:
        os.makedirs(os.path.join(target, below), exist_ok=True)
        for name in files:
            copy = os.path.join(target, below, name)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy2(os.path.join(path, name), copy)

    return _once(into, digest.hexdigest(), fill)


def _of_file(path: str, into: str, keep_name: bool) -> str:
    name = os.path.basename(path)
    digest = blake2b(f"{name}\0{keep_name}\0".encode() + _content_digest(path), digest_size=16).hexdigest()
    if not path.endswith((".zip", ".whl")):
        return _once(into, digest, lambda target: shutil.copy2(path, target))
    return _of_archive(path, digest, into, keep_name)


def _of_archive(path: str, digest: str, into: str, keep_name: bool) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(path, ((member.filename, member.file_size) for member in archive.infolist()))
            target = _once(into, digest, archive.extractall)
    except zipfile.BadZipFile as error:
        raise RuntimeEnvSetupError(f"runtime_env: {path!r} is not a zip file: {error}.") from error
    members = os.listdir(target)
    single = os.path.join(target, members[0]) if len(members) == 1 else ""
    # An archive made of one directory means what is in that directory, as in Ray.
    return single if single and not keep_name and os.path.isdir(single) else target


def _once(into: str, digest: str, fill: Callable[[str], object]) -> str:
    target = os.path.join(into, digest)
    if os.path.isdir(target):
        return target
    os.makedirs(into, exist_ok=True)
    making = tempfile.mkdtemp(prefix="making-", dir=into)
    try:
        fill(making)
        try:
            os.rename(making, target)
        except OSError:
            if not os.path.isdir(target):  # else another process was first, with the same content
                raise
            shutil.rmtree(making, ignore_errors=True)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return target


def _files(top: str, excludes: Sequence[str]) -> Iterator[str]:
    """Files below `top`, relative to it, in a fixed order. Links to directories outside are followed once."""
    rules = [_rule(pattern) for pattern in excludes if pattern.strip() and not pattern.startswith("#")]
    waiting = [""]
    seen = set()
    while waiting:
        below = waiting.pop()
        real = os.path.realpath(os.path.join(top, below))
        if real in seen:  # a link that leads back up
            continue
        seen.add(real)
        for entry in sorted(os.scandir(os.path.join(top, below)), key=lambda entry: entry.name):
            name = f"{below}/{entry.name}" if below else entry.name
            is_dir = entry.is_dir()
            if entry.name in NEVER_COPIED or _excluded(name, is_dir, rules):
                continue
            if is_dir:
                waiting.append(name)
            elif entry.is_file():  # no sockets, pipes and dangling links
                yield name


_Rule = tuple["re.Pattern[str]", bool, bool]  # pattern, of directories only, takes back


def _excluded(name: str, is_dir: bool, rules: Sequence[_Rule]) -> bool:
    excluded = False
    for pattern, dirs_only, takes_back in rules:
        if (is_dir or not dirs_only) and pattern.fullmatch(name):
            excluded = not takes_back
    return excluded


def _rule(pattern: str) -> _Rule:
    """A line of .gitignore as a regular expression over a relative path; see gitignore(5)."""
    takes_back = pattern.startswith("!")
    pattern = pattern.removeprefix("!").strip()
    dirs_only = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    anchored = "/" in pattern
    parts = []
    for token in re.findall(r"\*\*/|/\*\*$|\*|\?|\[[^\]]*\]|.", pattern.removeprefix("/")):
        if token == "**/":
            parts.append("(?:.*/)?")
        elif token == "/**":
            parts.append("/.*")
        elif token in "*?":
            parts.append("[^/]*" if token == "*" else "[^/]")
        elif len(token) > 1:
            parts.append("[^" + token[2:] if token[1] == "!" else token)
        else:
            parts.append(re.escape(token))
    prefix = "" if anchored else "(?:.*/)?"
    return re.compile(prefix + "".join(parts)), dirs_only, takes_back


def _content_digest(path: str) -> bytes:
    digest = blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _check_size(path: str, sizes: Iterator[tuple[str, int]]) -> None:
    sized = sorted(((size, name) for name, size in sizes), reverse=True)
    total = sum(size for size, _ in sized)
    if total > MAX_BYTES:
        biggest = ", ".join(f"{name} ({size / 2**20:.0f} MiB)" for size, name in sized[:3])
        raise RuntimeEnvSetupError(
            f"runtime_env: {path!r} holds {total / 2**20:.0f} MiB, more than the "
            f"{MAX_BYTES // 2**20} MiB that are copied. Biggest: {biggest}. "
            "Leave them out with runtime_env={'excludes': [...]}, "
            "or have the tasks read them from where they are."
        )
