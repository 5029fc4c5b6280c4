"""How much memory there is and is used, read from files as the kernel writes them."""

from __future__ import annotations

import pytest

from dispatch._memory_limit import MemoryUse, memory_use

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path):
    """A root folder with `files` beside 8 GiB of memory, of which 2 GiB are in use."""

    def make(files):
        meminfo = "MemTotal:       8388608 kB\nMemFree:        1000 kB\nMemAvailable:   6291456 kB\n"
        for name, text in {"proc/meminfo": meminfo, **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return make


def group(folder, limit, used, idle=0, **more):
    """A group of version 2."""
    files = {
        "memory.max": limit,
        "memory.current": used,
        "memory.stat": f"anon 1\ninactive_file {idle}\nslab 5",
        **more,
    }
    return {f"sys/fs/cgroup/{folder}/{name}": f"{value}\n" for name, value in files.items()}


def test_a_group_of_version_2_is_the_limit(machine):
    root = machine({"proc/self/cgroup": "0::/shop\n", **group("shop", 512 * MIB, 400 * MIB, 100 * MIB)})

    assert MemoryUse(300 * MIB, 512 * MIB, "cgroup") == memory_use(root)


def test_the_tightest_limit_up_the_hierarchy_holds(machine):
    """A generous group below a tight one."""
    inner, outer = group("pod/shop", 1024 * MIB, 100 * MIB), group("pod", 400 * MIB, 300 * MIB)
    root = machine({"proc/self/cgroup": "0::/pod/shop\n", **inner, **outer})

    assert MemoryUse(300 * MIB, 400 * MIB, "cgroup") == memory_use(root)


def test_a_group_without_a_limit_leaves_it_to_the_machine(machine):
    root = machine({"proc/self/cgroup": "0::/shop\n", **group("shop", "max", 300 * MIB)})

    assert MemoryUse(2048 * MIB, 8192 * MIB, "machine") == memory_use(root)


def test_above_its_high_limit_a_group_is_slowed_down_so_that_is_a_limit(machine):
    files = group("shop", "max", 300 * MIB, **{"memory.high": 600 * MIB})
    root = machine({"proc/self/cgroup": "0::/shop\n", **files})

    assert MemoryUse(300 * MIB, 600 * MIB, "cgroup") == memory_use(root)


def test_in_a_container_the_own_group_is_the_mount(machine):
    """The path is that of the host, or none at all."""
    for path in ("/", "/../../kubepods/pod12"):
        root = machine({"proc/self/cgroup": f"0::{path}\n", **group(".", 512 * MIB, 256 * MIB)})

        assert MemoryUse(256 * MIB, 512 * MIB, "cgroup") == memory_use(root)


@pytest.mark.parametrize(
    ("limit", "found"), [(512 * MIB, 512 * MIB), (9223372036854771712, None)], ids=["some", "none"]
)
def test_a_group_of_version_1_is_the_limit(machine, limit, found):
    """Which writes a number where there is none."""
    folder = "sys/fs/cgroup/memory/docker/ab12"
    root = machine({
        "proc/self/cgroup": "12:cpu,cpuacct:/docker/ab12\n4:memory:/docker/ab12\n0::/docker/ab12\n",
        f"{folder}/memory.limit_in_bytes": f"{limit}\n",
        f"{folder}/memory.usage_in_bytes": f"{200 * MIB}\n",
        f"{folder}/memory.stat": f"cache 7\ninactive_file 1\ntotal_inactive_file {50 * MIB}\n",
    })  # fmt: skip
    expected = MemoryUse(150 * MIB, 512 * MIB, "cgroup") if found else MemoryUse(2048 * MIB, 8192 * MIB, "machine")

    assert expected == memory_use(root)


def test_a_system_that_says_nothing_has_no_limit(tmp_path):
    assert memory_use(tmp_path) is None


def test_this_machine_says_what_it_has():
    use = memory_use()

    assert use is not None
    assert 0 < use.used < use.limit
