from pathlib import Path

from motet.runtime import mounts

TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /run/m rw - tmpfs tmpfs rw
31 30 0:27 / /run/m/a\\040b/rootfs rw - overlay overlay rw
32 30 0:28 / /run/mm rw - tmpfs tmpfs rw
33 31 0:29 / /run/m/a\\040b/rootfs/x rw - tmpfs tmpfs rw
"""


def test_mounts_below_a_directory_are_listed_innermost_first():
    assert mounts.below(Path("/run/m"), table=TABLE) == [
        Path("/run/m/a b/rootfs/x"),
        Path("/run/m/a b/rootfs"),
        Path("/run/m"),
    ]


def test_nothing_is_below_a_directory_without_mounts():
    assert mounts.below(Path("/srv"), table=TABLE) == []
