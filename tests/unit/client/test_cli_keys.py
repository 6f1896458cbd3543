"""Keys that the command line makes are keys that a gateway takes."""

from __future__ import annotations

import json

import pytest

from facet.client.cli.app import main
from facet.gateway.api_keys import KeyFileAuthenticator, parse_keys
from facet.gateway.authenticator import Principal

pytestmark = pytest.mark.unit


async def test_the_gateway_knows_the_key_when_its_line_is_in_the_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = set()
    for _ in range(2):
        with pytest.raises(SystemExit, match="0"):
            main(["keys", "new", "--tenant", "acme", "--admin", "--json"])
        made = json.loads(capsys.readouterr().out)
        keys = KeyFileAuthenticator(parse_keys(made["line"].encode(), "keys"))
        metadata = [("authorization", f"Bearer {made['key']}")]
        assert await keys.authenticate(metadata) == Principal("acme", is_admin=True)
        assert "." not in made["key"]
        seen.add(made["key"])
    assert len(seen) == 2


def test_the_command_is_refused_when_the_name_cannot_be_a_tenants() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["keys", "new", "--tenant", "a b"])
