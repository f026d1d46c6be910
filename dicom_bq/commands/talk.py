"""What a command says on stderr: text for people, or JSON for a log."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from dicom_bq.commands.streams import to_stderr
from dicom_bq.display import Display


@dataclass(slots=True)
class Talk:
    """The one voice of a run of the command line; its options decide how it sounds.

    Attributes:
        form: "text", or "json": one object a line, with the fields that Cloud Logging knows of an entry
            (https://cloud.google.com/logging/docs/structured-logging).
        quiet: Say nothing but errors.
        arguments: The command line, without the program's name.
    """

    form: str = "text"
    quiet: bool = False
    arguments: Sequence[str] = ()

    def say(self, message: str, *, severity: str = "INFO", **facts: Any) -> None:  # noqa: ANN401 (any JSON)
        """Say something.

        Args:
            message: For people; may have several lines.
            severity: Of Cloud Logging.
            facts: The same for programs; only JSON has them.
        """
        to_stderr(self._line(message, severity=severity, **facts))

    def remark(self, message: str, *, severity: str = "INFO", **facts: Any) -> None:  # noqa: ANN401 (any JSON)
        """Say something that need not be said."""
        if not self.quiet:
            self.say(message, severity=severity, **facts)

    def complain(self, message: str, *, severity: str = "ERROR", **facts: Any) -> None:  # noqa: ANN401 (any JSON)
        """Say why there is no result."""
        to_stderr(self.complaint(message, severity=severity, **facts))

    def complaint(self, message: str, *, severity: str = "ERROR", **facts: Any) -> str:  # noqa: ANN401 (any JSON)
        """What ``complain`` says."""
        return self._line(message if self.form == "json" else f"dicom-bq: {message}", severity=severity, **facts)

    def _line(self, message: str, *, severity: str, **facts: Any) -> str:  # noqa: ANN401 (any JSON)
        if self.form == "text":
            return message
        return json.dumps({"severity": severity, "message": message, "time": _now(), **facts})

    def display(self) -> Display:
        """What shows how far a job is."""
        return Display(sys.stderr, self.say, quiet=self.quiet, bar=self.form == "text")


def current_talk() -> Talk:
    """The voice of the command that is running."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Talk) if context else None
    return found or Talk()


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _set(name: str) -> Any:  # noqa: ANN401 (click's own form)
    def callback(_context: click.Context, _parameter: click.Parameter, value: object) -> None:
        setattr(current_talk(), name, value)

    return callback


TALK_OPTIONS = (
    click.option(
        "--quiet",
        "-q",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set("quiet"),
        help="No progress and no summary; errors only.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        is_eager=True,
        expose_value=False,
        callback=_set("form"),
        help="Of stderr: text, or one JSON object a line, as Cloud Logging takes it.",
    ),
)
