"""A guest book: entries in PostgreSQL, visits counted in Redis. Standard library plus the two drivers."""

import html
import json
import os
import signal
import socket
import string
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import redis

PORT = 8000
LONGEST = 500
PAGE = string.Template(Path(__file__).with_name("page.html").read_text())


def connect():
    """A connection to the database, with the table in it."""
    connection = psycopg2.connect(
        host=os.environ["DB_HOST"],
        user="postgres",
        password=Path(os.environ["DB_PASSWORD_FILE"]).read_text().strip(),
        dbname="guestbook",
        connect_timeout=3,
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS entries"
            " (id bigserial PRIMARY KEY, name text NOT NULL, text text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
        )
    return connection


class Book:
    """The entries; reconnects when the database was away."""

    def __init__(self):
        self._connection = None
        self._lock = threading.Lock()

    def run(self, statement, values=()):
        with self._lock:
            for attempt in (1, 2):
                try:
                    self._connection = self._connection or connect()
                    with self._connection.cursor() as cursor:
                        cursor.execute(statement, values)
                        return cursor.fetchall() if cursor.description else []
                except (psycopg2.OperationalError, psycopg2.InterfaceError):
                    self._connection = None
                    if attempt == 2:
                        raise
        return []

    def entries(self):
        return self.run("SELECT name, text, to_char(at, 'YYYY-MM-DD HH24:MI') FROM entries ORDER BY id DESC LIMIT 50")

    def add(self, name, text):
        self.run("INSERT INTO entries (name, text) VALUES (%s, %s)", (name[:LONGEST], text[:LONGEST]))


BOOK = Book()
CACHE = redis.Redis(host=os.environ["CACHE_HOST"], socket_timeout=2, socket_connect_timeout=2)


class Handler(BaseHTTPRequestHandler):
    """Four addresses: the page, adding to it, its entries as JSON, and health."""

    def do_GET(self):
        try:
            if self.path == "/healthz":
                BOOK.run("SELECT 1")
                self._answer(200, "text/plain", "ok\n")
            elif self.path == "/entries":
                listed = [{"name": name, "text": text, "at": at} for name, text, at in BOOK.entries()]
                self._answer(200, "application/json", json.dumps(listed))
            elif self.path == "/":
                self._answer(200, "text/html; charset=utf-8", self._page())
            else:
                self._answer(404, "text/plain", "not here\n")
        except (psycopg2.Error, redis.RedisError, OSError) as error:
            self._answer(503, "text/plain", f"not now: {error}\n")

    def do_POST(self):
        size = min(int(self.headers.get("Content-Length", 0)), 10_000)
        fields = urllib.parse.parse_qs(self.rfile.read(size).decode(errors="replace"))
        name = fields.get("name", [""])[0].strip() or "somebody"
        text = fields.get("text", [""])[0].strip()
        try:
            if text:
                BOOK.add(name, text)
        except psycopg2.Error as error:
            self._answer(503, "text/plain", f"not now: {error}\n")
            return
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _page(self):
        entries = "".join(
            f"<li><b>{html.escape(name)}</b> <time>{at}</time><p>{html.escape(text)}</p></li>"
            for name, text, at in BOOK.entries()
        )
        return PAGE.substitute(
            entries=entries or "<li><p>Nobody has written yet.</p></li>",
            visits=CACHE.incr("visits"),
            host=socket.gethostname(),
        )

    def _answer(self, code, kind, body):
        content = body.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main():
    server = ThreadingHTTPServer(("0.0.0.0", PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"the guest book is open on port {PORT}", flush=True)
    server.serve_forever()
    sys.exit(0)


if __name__ == "__main__":
    main()
