"""Environment of vLLM: it reads most of its settings once, when it is imported."""

from __future__ import annotations

import os

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


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, capped by the cgroup's quota."""
    count = len(os.sched_getaffinity(0))
    quota = _cgroup_quota()
    return max(1, count if quota is None else min(count, int(quota)))


def _cgroup_quota() -> float | None:
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            limit, period = file.read().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)
