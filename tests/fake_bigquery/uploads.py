"""Uploads in one piece (multipart/related) and in chunks (resumable: 308 until the last one)."""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fake_bigquery.rules import refuse_unless

Finish = Callable[[dict[str, Any], Path], dict[str, Any]]
RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class Session:
    """One resumable upload; once finished, its answer is given again to whoever asks."""

    metadata: dict[str, Any]
    finish: Finish
    path: Path
    answer: dict[str, Any] | None = None


@dataclass
class Uploads:
    """Uploads under way, their bytes in ``directory``."""

    directory: Path
    sessions: dict[str, Session] = field(default_factory=dict)
    count: int = 0

    def new_file(self) -> Path:
        self.count += 1
        return self.directory / f"upload-{self.count}"

    def start(self, metadata: dict[str, Any], finish: Finish) -> str:
        path = self.new_file()
        path.touch()
        self.sessions[path.name] = Session(metadata, finish, path)
        return path.name

    def put(self, name: str, content_range: str, body: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
        """One chunk: (status, headers, answer)."""
        session = self.sessions[name]
        if session.answer is not None:
            return 200, {}, session.answer
        match = RANGE.fullmatch(content_range)
        refuse_unless(match, f"Invalid Content-Range: {content_range}")
        start, _, total = match.groups()  # type: ignore[union-attr]
        received = session.path.stat().st_size
        if start is not None and int(start) == received:
            with session.path.open("ab") as file:
                file.write(body)
            received += len(body)
        if total != "*" and received == int(total):
            session.answer = session.finish(session.metadata, session.path)
            return 200, {}, session.answer
        return 308, {"Range": f"bytes=0-{received - 1}"} if received else {}, {}

    def multipart(self, content_type: str, body: bytes, finish: Finish) -> dict[str, Any]:
        """The metadata and the bytes in one request."""
        head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body[:65536])
        boundary = message.get_boundary()
        refuse_unless(boundary, "multipart/related without a boundary")
        pieces = body.split(b"--" + str(boundary).encode())
        refuse_unless(len(pieces) == 4, "multipart/related needs two parts")
        metadata, data = (piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")[2][:-2] for piece in pieces[1:3])
        path = self.new_file()
        path.write_bytes(data)
        return finish(json.loads(metadata), path)
