"""Processes from an image's root file system: read-only but for its volumes, any UID."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.images.store import ImageConfig

_SECRETS = "/mnt"
"""An empty folder of every Debian, where `Jail.secrets` is seen."""


@dataclass(frozen=True)
class Jail:
    """Where and as whom processes of an image run.

    `root` is the image's mounted file system, `uid` a user of group 0 without a passwd entry,
    `secrets` a folder that they may read below /mnt. Each process has mounts of its own: volumes
    and /dev/shm are fresh memory file systems with the owner and mode that the image gave them.
    """

    root: Path
    config: ImageConfig
    uid: int
    secrets: Path | None = None

    def command(self, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
        """The command that runs `argv` inside; its process id stays that of the command."""
        root = self.root
        mounts = [
            # What is bound is shared with the host's mounts, what is mounted here is not.
            f"mount --bind {root} {root}",
            f"mount -o remount,bind,ro {root}",
            *(f"mount --rbind /{name} {root}/{name}" for name in ("proc", "dev", "sys")),
            f"mount -t tmpfs -o mode=1777 shm {root}/dev/shm",
            *(self._volume(volume) for volume in self.config.volumes),
        ]
        if self.secrets is not None:
            mounts.append(f"mount --bind {self.secrets} {root}{_SECRETS}")
            mounts.append(f"mount -o remount,bind,ro {root}{_SECRETS}")
        variables = [f"{name}={value}" for name, value in (self.config.env | dict(env)).items()]
        return [
            *("unshare", "--mount", "--propagation", "private", "/bin/sh", "-ec"),
            "\n".join([*mounts, 'exec chroot "$@"']),
            *("jail", f"--userspec={self.uid}:0", "--groups=0", str(root)),
            # None outlives the check, however that ends.
            *("/usr/bin/setpriv", "--pdeathsig=KILL"),
            *("/usr/bin/env", "-i", f"--chdir={self.config.workdir}", *variables, *argv),
        ]

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a process; both of its outputs go to `log`."""
        return subprocess.Popen(self.command(argv, env), stdout=log, stderr=log)

    def run(self, argv: Sequence[str], seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a process to its end."""
        return subprocess.run(
            self.command(argv, {}), capture_output=True, text=True, timeout=seconds, check=False
        )

    def _volume(self, path: str) -> str:
        status = (self.root / path.lstrip("/")).stat()
        options = f"mode={stat.S_IMODE(status.st_mode):o},uid={status.st_uid},gid={status.st_gid}"
        return f"mount -t tmpfs -o {options} volume {self.root}{path}"
