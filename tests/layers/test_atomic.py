"""Files that appear whole: permissions and links stay, what killed writers left goes, pipes are neither."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import pylayers
from pylayers import atomic


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_permissions_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "weights"
    pylayers.save({"w": np.ones(1)}, path)
    path.chmod(mode)
    pylayers.save({"w": np.zeros(1)}, path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert pylayers.load(path)["w"].item() == 0


def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write(tmp_path / "new", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    """A link to a file in another folder, and one to a file that is not there yet."""
    (tmp_path / "store").mkdir()
    for name in ("there", "absent"):
        link, target = tmp_path / name, tmp_path / "store" / name
        if name == "there":
            target.write_bytes(b"old")
        link.symlink_to(Path("store") / name)
        atomic.write(link, b"new")
        assert link.is_symlink()
        assert target.read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path / "store")) == ["absent", "there"]


def test_what_is_no_regular_file_stays_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match="no regular file"):
            atomic.write(path, b"x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert Path("/dev/null").is_char_device()


def test_loading_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    caught: list[BaseException] = []

    def load() -> None:
        with pytest.raises(pylayers.CheckpointError, match="not a valid safetensors file: it is a pipe"):
            pylayers.load(tmp_path / "pipe")
        caught.append(None)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(20)
    assert len(caught) == 1


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """And nothing else: neither what a living writer holds, nor files of other names, nor pipes and links."""
    program = textwrap.dedent("""
        import os, sys, time
        from pylayers import atomic
        def stopped(number):
            print("writing", flush=True)
            time.sleep(600)
        os.fsync = stopped
        atomic.write(sys.argv[1], b"half")
    """)
    path = tmp_path / "weights"
    path.write_bytes(b"whole")
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in writers:
            assert process.stdout is not None
            process.stdout.readline()
        assert len(os.listdir(tmp_path)) == 3
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        kept = [".weights.0123456789abcdef.bak", ".weights.0123", "other", ".other.0123456789abcdef"]
        for name in kept:
            (tmp_path / name).write_bytes(b"mine")
        os.mkfifo(tmp_path / ".weights.00000000000000aa")
        (tmp_path / ".weights.00000000000000bb").symlink_to("other")
        atomic.write(path, b"new")
        assert path.read_bytes() == b"new"
        left = {".weights.00000000000000aa", ".weights.00000000000000bb", "weights", *kept}
        assert len(set(os.listdir(tmp_path)) - left) == 1, "the living writer's file"
        assert left <= set(os.listdir(tmp_path))
    finally:
        for process in writers:
            process.kill()
            process.communicate()
    atomic.write(path, b"newer")
    assert set(os.listdir(tmp_path)) == left


def test_many_writers_at_once(tmp_path: Path) -> None:
    """Each removes what is abandoned while the others write: nobody fails, the file is one of theirs."""
    path, failed = tmp_path / "weights", []

    def work(letter: bytes) -> None:
        try:
            for _ in range(40):
                atomic.write(path, letter * 5000)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(bytes([65 + i]),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    content = path.read_bytes()
    assert content == content[:1] * 5000
    assert os.listdir(tmp_path) == ["weights"]
