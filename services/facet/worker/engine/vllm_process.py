"""Environment of vLLM: it reads most of its settings once, when it is imported."""

from __future__ import annotations

import os
from pathlib import Path

from facet.worker.engine.child_processes import own_child_processes


def prepare_environment(*, cpu_threads: int) -> None:
    """Set what vLLM must find before its import. Values that the operator set stay."""
    wanted = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        # Threads of gRPC and of the media decoder do not survive a fork.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        # Binding would put every worker of a machine on the same cores.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(cpu_threads),
        # Idle threads sleep instead of spinning on cores that others share.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    # It would replace the planned bytes by whole GiB.
    os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)
    own_child_processes()


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may use: its affinity, capped by the quota of its container.

    `cgroup` is where the container sees its own control group, of either version.
    """
    count = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return max(1, count if quota is None else min(count, int(quota)))


def _quota(cgroup: Path) -> float | None:
    try:
        limit, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return None
    return int(limit) / int(period) if limit.isdigit() else None
