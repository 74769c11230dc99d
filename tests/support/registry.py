"""A small image registry (OCI distribution-spec 1.1) that has one layout tar and takes what is pushed."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def registry(archive: Path, *, credentials: tuple[str, str] | None = None) -> Iterator[int]:
    """Serve the image of `archive` as any repository with tag `1`, and whatever is pushed, on 127.0.0.1; yields the port.

    Call it inside the network namespace that is to reach it. With `credentials`, basic authentication is demanded.
    """
    blobs: dict[str, bytes] = {}
    # (repository, tag) -> (digest, media type) of what was pushed.
    pushed: dict[tuple[str, str], tuple[str, str]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            data = stream.read() if stream else b""
            blobs[f"sha256:{hashlib.sha256(data).hexdigest()}"] = data
            if member.name == "index.json":
                top = json.loads(data)["manifests"][0]
    wanted = "Basic " + base64.b64encode(":".join(credentials).encode()).decode() if credentials else None

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if wanted and self.headers.get("Authorization") != wanted:
                return self._answer(401, b"{}", headers={"WWW-Authenticate": 'Basic realm="test"'})
            if self.path.rstrip("/") == "/v2":
                return self._answer(200, b"{}")
            kind, _, what = self.path.rpartition("/")
            repository = kind.removeprefix("/v2/").removesuffix("/manifests")
            types = dict(pushed.values())
            if (repository, what) in pushed:
                what, _ = pushed[repository, what]
            digest = top["digest"] if what == "1" and kind.endswith("manifests") else what
            if digest not in blobs:
                return self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            media_type = top["mediaType"] if digest == top["digest"] else types.get(digest, "application/octet-stream")
            return self._answer(200, blobs[digest], media_type, {"Docker-Content-Digest": digest})

        do_HEAD = do_GET

        def do_POST(self) -> None:
            if wanted and self.headers.get("Authorization") != wanted:
                return self._answer(401, b"{}", headers={"WWW-Authenticate": 'Basic realm="test"'})
            return self._answer(202, b"", headers={"Location": f"{self.path}upload?state=1"})

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if wanted and self.headers.get("Authorization") != wanted:
                return self._answer(401, b"{}", headers={"WWW-Authenticate": 'Basic realm="test"'})
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            path, _, query = self.path.partition("?")
            if "/blobs/uploads/" in path and f"digest={digest}" not in query.split("&"):
                return self._answer(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
            if "/manifests/" in path:
                repository, _, tag = path.removeprefix("/v2/").partition("/manifests/")
                pushed[repository, tag] = (digest, self.headers["Content-Type"])
            blobs[digest] = body
            return self._answer(201, b"", headers={"Docker-Content-Digest": digest})

        def _answer(
            self, code: int, body: bytes, media_type: str = "application/json", headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(code)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
