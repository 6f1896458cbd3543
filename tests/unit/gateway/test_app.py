"""When a gateway refuses to start."""

from __future__ import annotations

import pytest

from facet.gateway.app import main

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LISTEN", "0.0.0.0:0", "FACET_GATEWAY_API_KEYS_FILE"),
        ("LISTEN", "192.0.2.1:1", "FACET_GATEWAY_API_KEYS_FILE"),
        ("ADMIN_LISTEN", "0.0.0.0:0", ":admin"),
        ("ADMIN_LISTEN", "here", "FACET_GATEWAY_ADMIN_LISTEN"),
        ("MODELS", '["other"]', "no such model: other"),
        ("MODELS", "nano", "models"),
        ("MAX_INLINE_BYTES", "many", "FACET_GATEWAY_MAX_INLINE_BYTES"),
        ("API_KEYS_FILE", "/nonexistent/keys", "/nonexistent/keys"),
    ],
)
def test_start_is_refused_in_one_line_when_a_setting_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    told: str,
) -> None:
    monkeypatch.setenv(f"FACET_GATEWAY_{name}", value)
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith("facet gateway: ")
    assert told in line
