"""Files with secrets: tokens, keys, what connects to a cluster. They are written here, and nowhere else.

Rule 1. A secret goes into a folder that is this user's and that nobody else can write to: who can may put a link, or a
        file that he can read, where ours is to be.
Rule 2. It is a new file (0600), put in place all at once. One that is there keeps neither its mode nor its readers, a
        link is replaced and not followed, and who reads finds the whole of the old or of the new.
"""

from __future__ import annotations

import contextlib
import os
import stat


def write(path: str, content: str | bytes, fresh: bool = False) -> None:
    """Write a file that only this user can read, in place of what is there.

    Parameters
    ----------
    content: text is encoded as UTF-8.
    fresh: it must not be there yet.

    Raises
    ------
    FileExistsError: it is there, though it must not be. PermissionError: others can write to its folder. OSError.
    """
    folder_path, name = os.path.split(path)
    folder = _open_own(folder_path)
    try:
        new = f".{name}.{os.urandom(8).hex()}"
        file = os.open(
            new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
        )
        try:
            with os.fdopen(file, "wb") as out:
                out.write(content.encode() if isinstance(content, str) else content)
            if fresh:
                os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            else:
                os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=folder)
    finally:
        os.close(folder)


def check_folder(path: str) -> None:
    """PermissionError where a folder is no place for secrets (Rule 1); OSError where there is none."""
    os.close(_open_own(path))


def _open_own(path: str) -> int:
    """The folder itself, whatever its path leads to afterwards."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
        os.close(folder)
        raise PermissionError(
            f"{path} must belong to you, and nobody else may be able to write to it, for secrets of your clusters are "
            f"kept there. Correct its owner and mode (chmod go-w {path}), or choose another folder"
        )
    return folder
