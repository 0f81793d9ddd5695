"""A server that speaks enough of the Hugging Face Hub's protocol for the real client: commits, LFS, files, listings.

Writing, and reading a private repository, needs the token `TOKEN`. The server can be told to fail: ``failures`` maps a
part of a request's path to a status and what the server says with it; ``trouble`` is a `Trouble` that passes.
"""

import base64
import hashlib
import json
import os
import re
import socket
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"


def hub_environment(endpoint: str, tmp_path: Path) -> dict[str, str]:
    """The Hub's client pointed at the server, with a cache of its own."""
    return os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@dataclass
class Trouble:
    """What happens to requests.

    Attributes:
        part: of those requests, in "GET /path".
        kind: "drop" closes the connection without an answer, "cut" in the middle of one, "delay" never answers, and a
            number is a status, with which the server asks for patience (``Retry-After``).
        times: how many of them have it.
    """

    part: str
    kind: str
    times: int = 1_000_000


class HubServer:
    """Runs on a free port of the loopback interface while it is entered as a context."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}  # "models/user/name" -> path -> content
        self.private: set[str] = set()
        self.objects: dict[str, bytes] = {}  # LFS: SHA-256 -> content
        self.verified: set[str] = set()
        self.failures: dict[str, tuple[int, str]] = {}
        self.cuts: dict[str, int] = {}  # path of a file -> bytes after which the connection breaks, each time
        self.ranges: list[str] = []  # of the files that were asked for in part
        self.requests: list[str] = []
        self.trouble: Trouble | None = None
        self.closing = threading.Event()
        server = self

        class Handler(_Handler):
            hub = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def commit_of(self, repo: str) -> str:
        """A commit id that follows from the content."""
        digest = hashlib.sha1(repo.encode())
        for path, content in sorted(self.repos[repo].items()):
            digest.update(path.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")

    def _json(self, value: Any, status: int = 200) -> None:
        self._bytes(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def _bytes(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, message: str, code: str = "") -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._bytes(json.dumps({"error": message}).encode(), status, headers)

    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _visible(self, repo: str) -> bool:
        """Whether the repository is there for this reader; answers the request if not."""
        if repo in self.hub.repos and (repo not in self.hub.private or self._authorised()):
            return True
        self._refuse(404, "Repository not found", "RepoNotFound")
        return False

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self._body()
        trouble = self.hub.trouble
        if trouble is not None and trouble.times > 0 and trouble.part in f"{self.command} {path}":
            trouble.times -= 1
            self._fail(trouble.kind)
            return
        for part, (status, message) in self.hub.failures.items():
            if part in path:
                self._refuse(status, message)
                return
        writes = self.command in ("POST", "PUT") and path != "/api/validate-yaml"
        if (writes or "/whoami" in path) and not (self._authorised() or path.startswith("/lfs/")):
            self._refuse(401, "Invalid username or password.")
            return
        for pattern, method in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                method(self, body, **found.groupdict())
                return
        self._json({"error": f"no route for {path}"}, 404)

    def _fail(self, kind: str) -> None:
        """Answers as in a `Trouble`."""
        if kind.isdigit():
            body = json.dumps({"error": "not now"}).encode()
            self._bytes(body, int(kind), {"Retry-After": "1", "X-Error-Message": "not now"})
            return
        if kind == "delay":
            self.hub.closing.wait()
        elif kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"{")
            self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def whoami(self, body: bytes) -> None:
        self._json({"type": "user", "name": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def validate(self, body: bytes) -> None:
        well_formed = json.loads(body)["content"].startswith("---\n")
        self._json({"errors": [] if well_formed else [{"message": "no YAML header"}], "warnings": []})

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        kind = f"{asked.get('type') or 'model'}s"
        name = asked["name"] if asked.get("organization") is None else f"{asked['organization']}/{asked['name']}"
        name = name if "/" in name else f"user/{name}"
        status = 409 if f"{kind}/{name}" in self.hub.repos else 200
        self.hub.repos.setdefault(f"{kind}/{name}", {})
        if asked.get("visibility") == "private" and status == 200:
            self.hub.private.add(f"{kind}/{name}")
        prefix = "" if kind == "models" else f"{kind}/"
        self._json({"url": f"{self.hub.endpoint}/{prefix}{name}", "name": name, "id": name}, status)

    def preupload(self, body: bytes, repo: str) -> None:
        files = json.loads(body)["files"]
        modes = [
            {"path": file["path"], "uploadMode": "lfs" if _is_large(file["path"]) else "regular",
             "shouldIgnore": False, "oid": None}
            for file in files
        ]  # fmt: skip
        self._json({"files": modes})

    def lfs_batch(self, body: bytes, repo: str) -> None:
        answers = []
        for wanted in json.loads(body)["objects"]:
            answer = dict(wanted)
            if wanted["oid"] not in self.hub.objects:
                answer["actions"] = {
                    "upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}"},
                    "verify": {"href": f"{self.hub.endpoint}/{repo}.git/info/lfs/verify"},
                }
            answers.append(answer)
        self._json({"transfer": "basic", "objects": answers})

    def lfs_upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._json({"error": "wrong hash"}, 400)
            return
        self.hub.objects[oid] = body
        self._bytes(b"")

    def lfs_verify(self, body: bytes, repo: str) -> None:
        wanted = json.loads(body)
        if len(self.hub.objects.get(wanted["oid"], b"")) != wanted["size"]:
            self._refuse(404, "object not uploaded")
            return
        self.hub.verified.add(wanted["oid"])
        self._json({})

    def commit(self, body: bytes, repo: str) -> None:
        files = dict(self.hub.repos[repo])
        for line in body.decode().splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        self.hub.repos[repo] = files
        commit = self.hub.commit_of(repo)
        address = f"{self.hub.endpoint}/{repo.removeprefix('models/')}/commit/{commit}"
        self._json({"commitUrl": address, "commitOid": commit, "success": True})

    def info(self, body: bytes, repo: str) -> None:
        if not self._visible(repo):
            return
        siblings = [{"rfilename": path} for path in sorted(self.hub.repos[repo])]
        name = repo.split("/", 1)[1]
        self._json({"id": name, "modelId": name, "sha": self.hub.commit_of(repo), "siblings": siblings, "tags": [],
                    "private": repo in self.hub.private, "downloads": 0, "likes": 0, "author": "user", "gated": False,
                    "disabled": False})  # fmt: skip

    def tree(self, body: bytes, repo: str) -> None:
        if not self._visible(repo):
            return
        self._json([
            {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for path, content in sorted(self.hub.repos[repo].items())
        ])  # fmt: skip

    def resolve(self, body: bytes, name: str, path: str, kind: str | None = None) -> None:
        repo = f"{kind or 'models'}/{name}"
        if not self._visible(repo):
            return
        headers = {"X-Repo-Commit": self.hub.commit_of(repo)}
        content = self.hub.repos[repo].get(path)
        if content is None:
            self._bytes(b"", 404, headers | {"X-Error-Code": "EntryNotFound"})
            return
        headers |= {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        if _is_large(path):
            headers |= {
                "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))
            }  # fmt: skip
        ranged = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if ranged is not None:
            self.hub.ranges.append(ranged[0])
        if path in self.hub.cuts and self.command == "GET":
            first = int(ranged[1]) if ranged else 0
            self.send_response(206 if ranged else 200)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(content) - first))
            if ranged:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(content[first : first + self.hub.cuts[path]])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if ranged is None:
            self._bytes(content, 200, headers)
            return
        first, last = int(ranged[1]), int(ranged[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._bytes(content[first : last + 1], 206, headers)


def _is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".arrow", ".bin"))


_REPO = r"/api/(?P<repo>(?:models|datasets)/[^/]+/[^/]+)"
_ROUTES: list[tuple[str, Any]] = [
    (r"/api/whoami-v2", _Handler.whoami),
    (r"/api/validate-yaml", _Handler.validate),
    (r"/api/repos/create", _Handler.create),
    (_REPO + r"/preupload/[^/]+", _Handler.preupload),
    (_REPO + r"/commit/[^/]+", _Handler.commit),
    (_REPO + r"/tree/.+", _Handler.tree),
    (_REPO + r"(?:/revision/[^/]+)?", _Handler.info),
    (r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_upload),
    (r"/(?P<repo>.+)\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    (r"/(?P<repo>.+)\.git/info/lfs/verify", _Handler.lfs_verify),
    (r"/(?:(?P<kind>datasets)/)?(?P<name>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)", _Handler.resolve),
]
