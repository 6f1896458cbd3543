"""`facet chat`: a conversation on the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from facet.client.cli import answer, exit_codes, terminal
from facet.client.cli.arguments import (
    MEDIA,
    UsageError,
    attach,
    attachments,
    connect,
    generation_options,
    tls_of,
)
from facet.client.cli.notice import model_notice
from facet.client.content import Part
from facet.client.errors import FacetApiError, StreamCorruptedError
from facet.client.model import Model
from facet.client.sync_client import Chat, Client

HELP = (
    "/image PATH, /audio PATH, /video PATH attach a file to what you say next; "
    "/reset forgets the conversation; /quit or Ctrl-D leaves; Ctrl-C stops an answer."
)


def run(arguments: argparse.Namespace) -> None:
    """Talk until /quit or the end of input. Errors: FacetApiError where no model is served."""
    if sys.stdin.isatty():
        # Gives `input` line editing and history; its import alone does that.
        import readline  # noqa: F401, PLC0415
    with connect(arguments) as client:
        model = client.model(arguments.model) if arguments.model else _default(client)
        terminal.note(model_notice(model) or f"{model.name}: {model.description}")
        terminal.note(HELP)
        chat = client.chat(**generation_options(arguments))
        is_tls = tls_of(arguments) is not None
        Repl(client, chat, arguments.address, attachments(arguments), is_tls=is_tls).loop()


class Repl:
    """Reads lines and answers them. A failed turn is reported and does not end the conversation."""

    def __init__(
        self,
        client: Client,
        chat: Chat,
        address: str,
        attached: Sequence[Part] = (),
        *,
        is_tls: bool = False,
    ) -> None:
        self._client = client
        self._chat = chat
        self._address = address
        self._is_tls = is_tls
        self._attached = list(attached)

    def loop(self) -> None:
        """Return at /quit or at the end of input."""
        prompt = "> " if sys.stdin.isatty() else ""
        while True:
            try:
                line = input(prompt).strip()
            except EOFError:
                return
            if line == "/quit":
                return
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._say(line)

    def _command(self, line: str) -> None:
        name, _, argument = line[1:].partition(" ")
        if name in MEDIA and argument:
            try:
                self._attached.append(attach(name, argument.strip()))
            except UsageError as error:
                terminal.note(f"facet: {error}")
        elif name == "reset":
            self._chat.reset()
            self._attached.clear()
        else:
            terminal.note(HELP)

    def _say(self, line: str) -> None:
        try:
            stream = self._chat.send(*self._attached, line)
            read = answer.read(self._client, stream, is_shown=True)
        except FacetApiError as error:
            why = exit_codes.describe(error, self._address, is_tls=self._is_tls)
            terminal.note(f"facet: {why}")
            return
        except StreamCorruptedError as error:
            terminal.note(f"facet: {error}")
            return
        except KeyboardInterrupt:
            terminal.note("\n[stopped; this turn is forgotten]")
            return
        self._attached.clear()
        terminal.write_answer("\n")
        terminal.note(terminal.summary(read.generation.usage, read.first_token_seconds))


def _default(client: Client) -> Model:
    return client.models()[0]
