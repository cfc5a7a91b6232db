"""Writing a file whole or not at all: beside its target, flushed to the disk, then renamed onto it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

TOKEN_BYTES = 8


def write(path: str | os.PathLike[str], *parts: bytes | memoryview) -> None:
    """Puts the parts into the file, which appears complete or not at all and then survives a power failure.

    A file that was there keeps its owner and permissions, and a symbolic link stays one: what it points to is written.
    OSError when the disk refuses, and for a directory, a pipe or a device.
    """
    target = Path(os.path.realpath(path))
    try:
        old = target.stat()
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        raise OSError(errno.EINVAL, "no regular file, which could be replaced", str(path))
    _remove_abandoned(target)
    # In the destination's own directory: a rename onto another file system would not be atomic.
    with _scratch(target, 0o666 if old is None else stat.S_IMODE(old.st_mode)) as (scratch, number):
        if old is not None:
            with contextlib.suppress(PermissionError):  # only root gives files away
                os.fchown(number, old.st_uid, old.st_gid)
            os.fchmod(number, stat.S_IMODE(old.st_mode))  # `open` took the umask off
        with open(number, "wb", closefd=False) as file:
            file.writelines(parts)
        os.fsync(number)
        os.replace(scratch, target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def _scratch(target: Path, mode: int) -> Iterator[tuple[Path, int]]:
    """A new file beside the target and its descriptor; locked while it is written, removed if it is still there."""
    while True:
        scratch = target.with_name(f".{target.name}.{secrets.token_hex(TOKEN_BYTES)}")
        number = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: then nobody removes anything either
                fcntl.flock(number, fcntl.LOCK_EX)
            if os.fstat(number).st_nlink == 0:  # another writer took it for abandoned before it was locked
                continue
            yield scratch, number
            return
        finally:
            scratch.unlink(missing_ok=True)
            os.close(number)


def _remove_abandoned(target: Path) -> None:
    """Removes what killed writers of this target left: their files are no longer locked."""
    left = re.compile(re.escape(f".{target.name}.") + f"[0-9a-f]{{{2 * TOKEN_BYTES}}}")
    for name in os.listdir(target.parent):
        if left.fullmatch(name):
            with contextlib.suppress(OSError):
                _remove_unless_locked(target.with_name(name))


def _remove_unless_locked(scratch: Path) -> None:
    # A name in a shared folder may be anybody's pipe or link: it is neither waited for nor followed.
    number = os.open(scratch, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(number).st_mode):
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            scratch.unlink()
    finally:
        os.close(number)
