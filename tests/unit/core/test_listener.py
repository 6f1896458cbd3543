"""Settings of listeners: which files go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from facet.core.listener import ListenerSettings
from facet.core.settings import settings_config
from facet.core.tls import CertificateFiles

pytestmark = pytest.mark.unit

CERTIFICATE, KEY, CA = Path("tls.crt"), Path("tls.key"), Path("ca.crt")


class SomeSettings(ListenerSettings):
    model_config = settings_config("SOME")


def test_there_is_no_tls_when_no_file_is_named() -> None:
    assert SomeSettings().certificates() is None


def test_the_files_are_those_of_the_settings_when_they_go_together() -> None:
    pair = {"tls_certificate_file": CERTIFICATE, "tls_key_file": KEY}
    assert SomeSettings(**pair).certificates() == CertificateFiles(CERTIFICATE, KEY)
    with_ca = SomeSettings(**pair, tls_client_ca_file=CA)
    assert with_ca.certificates() == CertificateFiles(CERTIFICATE, KEY, CA)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            SomeSettings(tls_certificate_file=CERTIFICATE),
            "FACET_SOME_TLS_CERTIFICATE_FILE, FACET_SOME_TLS_KEY_FILE: .* belong together",
        ),
        (SomeSettings(tls_key_file=KEY), "belong together"),
        (SomeSettings(tls_key_file=KEY, tls_client_ca_file=CA), "belong together"),
        (
            SomeSettings(tls_client_ca_file=CA),
            "CLIENT_CA_FILE needs FACET_SOME_TLS_CERTIFICATE_FILE and FACET_SOME_TLS_KEY_FILE",
        ),
    ],
)
def test_the_variables_are_named_when_files_are_missing(settings: SomeSettings, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings.certificates()
