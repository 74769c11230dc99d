"""The images of Kubernetes' conformance specs, made from programs of this machine, with what the kit's own leave out.

    python tools/conformance_images.py KIT BIN OUT.tar

KIT is the folder with `images.py`, BIN that with `e2e.test` and `agnhost` (and `sample-apiserver`, when it was built). Some
specs call programs that a busybox does not have or has with fewer options: netcat, getent.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

# Beside those of the kit: image (last part of its name) -> programs.
MORE_TOOLS = {"agnhost": ("nc", "getent", "dash"), "jessie-dnsutils": ("getent", "dash")}
# A busybox's shell runs its own netcat whatever the path says.
SHELL = {"bin/sh": os.path.realpath("/bin/dash")}
SAMPLE = "sample-apiserver"
# Where the web servers have their pages: specs take one away to see a probe fail.
PAGES = {"httpd": "/usr/local/apache2/htdocs", "nginx": "/usr/share/nginx/html"}
# Says who it runs as; set-user-id root, so that the answer tells whether privileges can be gained.
WHO = "nonewprivs"
WHO_SOURCE = """#include <stdio.h>
#include <unistd.h>
int main(void) { printf("Effective uid: %d\\n", (int)geteuid()); return 0; }
"""


def load(kit: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance_kit_images", kit / "images.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ends_when_told(script: str) -> str:
    """As upstream's web servers do. A busybox's does not where it is the first process, so each pod took half a minute to end."""
    start, _, server = script.rstrip("\n").rpartition("exec ")
    return f"{start}trap 'kill $!; exit 0' TERM INT\n{server} &\nwait $!\n"


def with_set_user_id(images: ModuleType, program: Path) -> None:
    """Let the image WHO have `program`, owned by root and with the set-user-id bit, which the kit's own files never have."""
    plain = images.rootfs

    def rootfs(busybox: str, kind: dict[str, object]) -> bytes:
        layer = io.BytesIO(plain(busybox, kind))
        if kind is images.KINDS[WHO]:
            with tarfile.open(fileobj=layer, mode="a") as tar:
                member = tarfile.TarInfo(WHO)
                member.mode, member.size = 0o4755, program.stat().st_size
                tar.addfile(member, io.BytesIO(program.read_bytes()))
        return layer.getvalue()

    images.KINDS[WHO] = {"bins": {WHO: str(program)}, "entry": [f"/{WHO}"]}
    images.rootfs = rootfs


def main() -> None:
    kit, programs, out = (Path(word) for word in sys.argv[1:4])
    os.environ["AGNHOST"] = str(programs / "agnhost")
    images = load(kit)
    for name, tools in MORE_TOOLS.items():
        kind = images.KINDS[name]
        bins, more = {**kind.get("bins", {}), **SHELL}, [*kind.get("tools", ()), *tools]
        images.KINDS[name] = {**kind, "bins": bins, "tools": more}
    for name, folder in PAGES.items():
        texts = images.KINDS[name]["texts"].items()
        images.KINDS[name] = {
            **images.KINDS[name],
            "texts": {where: ends_when_told(text.replace("/srv", folder)) for where, text in texts},
        }
    if etcd := shutil.which("etcd"):
        # The aggregation spec calls it by its path in upstream's image; its libraries come with the kit's own.
        images.KINDS["etcd"]["bins"] = {"usr/local/bin/etcd": etcd}
    # What agnhost's `porter` serves TLS with.
    porter = programs.parent / "gopath/src/k8s.io/kubernetes/test/images/agnhost/porter"
    pair = {name: str(porter / name) for name in ("localhost.crt", "localhost.key") if (porter / name).exists()}
    images.KINDS["agnhost"]["bins"] = {**images.KINDS["agnhost"]["bins"], **pair}
    if (programs / SAMPLE).exists():
        images.KINDS[SAMPLE] = {"bins": {SAMPLE: str(programs / SAMPLE)}, "entry": [f"/{SAMPLE}"]}
    if compiler := shutil.which("cc"):
        who = Path(tempfile.mkdtemp()) / WHO
        subprocess.run([compiler, "-static", "-x", "c", "-o", who, "-"], input=WHO_SOURCE.encode(), check=True)
        with_set_user_id(images, who)
    else:
        print(f"no C compiler is installed, so there is no image {WHO}", file=sys.stderr)
    told = subprocess.check_output([programs / "e2e.test", "--list-images"], text=True)
    names = [
        name
        for name in told.split()
        if images.last_part(name) in images.KINDS and "invalid" not in name and "authenticated" not in name
    ]
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("busybox is not installed; install it with: apt-get install busybox-static")
    images.write(str(out), names, busybox)
    print("\n".join(names))


if __name__ == "__main__":
    main()
