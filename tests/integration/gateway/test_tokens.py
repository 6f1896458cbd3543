"""Tokens of an identity provider: what passes, what does not, and what its outages change."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from structlog.testing import capture_logs

from facet.api.v1.inference_service_pb2 import ListGenerationsRequest
from facet.core.errors import UnauthenticatedError
from facet.core.tasks import cancel_all
from facet.gateway import http_fetch, key_set
from facet.gateway.api_keys import ApiKey, KeyFileAuthenticator
from facet.gateway.authentication import BearerAuthenticator, token_authenticator
from facet.gateway.authenticator import Principal
from facet.gateway.key_set import KeySet
from facet.gateway.oidc import MAX_TOKEN_BYTES, OidcAuthenticator, OidcRules
from facet.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import BenchMaker
from tests.integration.gateway.requests import next_of
from tests.support.conditions import until
from tests.support.identity_provider import AUDIENCE, ISSUER, IdentityProvider, identity_provider

pytestmark = pytest.mark.integration

DAY_SECONDS = 86_400
"""Longer than any run of the tests: what is to come then, is so too when its test begins."""

RULES = OidcRules(
    issuer=ISSUER,
    audience=AUDIENCE,
    tenant_claim="tenant",
    roles_claim="realm_access.roles",
    admin_role="facet-admin",
    leeway_seconds=5,
)


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as served:
        yield served


@pytest.fixture
async def tokens(provider: IdentityProvider) -> AsyncIterator[OidcAuthenticator]:
    authenticator = OidcAuthenticator(RULES, KeySet(provider.url))
    following = asyncio.create_task(authenticator.run())
    yield authenticator
    await cancel_all([following])


async def principal_of(authenticator: Any, bearer: str) -> Principal:
    return await authenticator.authenticate([("authorization", f"Bearer {bearer}")])  # type: ignore[no-any-return]


async def refusal_of(authenticator: Any, bearer: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        await principal_of(authenticator, bearer)
    assert bearer[:40] not in caught.value.message
    return caught.value.message


async def test_tenant_and_role_are_the_tokens_when_it_is_good(
    provider: IdentityProvider, tokens: OidcAuthenticator
) -> None:
    assert await principal_of(tokens, provider.token()) == Principal("acme")
    operator = provider.token(tenant="ops", realm_access={"roles": ["x", "facet-admin"]})
    assert await principal_of(tokens, operator) == Principal("ops", is_admin=True)


async def test_token_passes_when_its_key_is_of_an_elliptic_curve(
    provider: IdentityProvider, tokens: OidcAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await principal_of(tokens, provider.token())
    monkeypatch.setattr(key_set, "UNKNOWN_KEY_SECONDS", 0.0)
    provider.add("curve", ec.generate_private_key(ec.SECP256R1()))
    assert (await principal_of(tokens, provider.token("curve", algorithm="ES256"))).tenant == "acme"


@pytest.mark.parametrize(
    ("claims", "without", "why"),
    [
        ({"exp": 1}, (), "expired"),
        ({"exp": time.time() - 30}, (), "expired"),
        ({"nbf": time.time() + DAY_SECONDS}, (), "not valid yet"),
        ({"iat": time.time() + DAY_SECONDS}, (), "not valid yet"),
        ({"aud": "other"}, (), "audience"),
        ({"iss": "https://other.test"}, (), "issuer"),
        ({}, ("exp",), "no claim exp"),
        ({}, ("iat",), "no claim iat"),
        ({}, ("aud",), "no claim aud"),
        ({}, ("iss",), "no claim iss"),
        ({}, ("tenant",), "no tenant"),
        ({"tenant": "a b"}, (), "no tenant"),
        ({"tenant": ["acme"]}, (), "no tenant"),
        ({"tenant": "acme\n"}, (), "no tenant"),
        ({"exp": "soon"}, (), "wrong signature or form"),
        ({"exp": float("inf")}, (), "wrong signature or form"),
    ],
)
async def test_token_is_refused_with_the_reason_when_a_claim_is_wrong(
    provider: IdentityProvider,
    tokens: OidcAuthenticator,
    claims: dict[str, Any],
    without: tuple[str, ...],
    why: str,
) -> None:
    token = provider.token(without=without, **claims)
    assert why in await refusal_of(tokens, token)


async def test_token_passes_when_clocks_differ_within_the_leeway(
    provider: IdentityProvider, tokens: OidcAuthenticator
) -> None:
    token = provider.token(exp=time.time() - 2, nbf=time.time() + 2)
    assert (await principal_of(tokens, token)).tenant == "acme"


def _part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_token_is_refused_when_it_picks_an_algorithm_that_proves_nothing(
    provider: IdentityProvider, tokens: OidcAuthenticator
) -> None:
    _, claims, _ = provider.token().split(".")
    none = f"{_part({'alg': 'none', 'kid': 'first'})}.{claims}."
    assert "algorithm" in await refusal_of(tokens, none)

    # The public key, which everybody knows, as the secret of an HMAC.
    public = provider.keys["first"].public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{claims}"
    forged = f"{signed}.{_part(hmac.digest(pem, signed.encode(), hashlib.sha256))}"
    assert "algorithm" in await refusal_of(tokens, forged)


async def test_token_is_refused_when_another_key_signed_it(
    provider: IdentityProvider, tokens: OidcAuthenticator
) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "signature" in await refusal_of(tokens, provider.token(key=stranger))
    curve = ec.generate_private_key(ec.SECP256R1())
    other = provider.token("first", algorithm="ES256", key=curve)
    assert "which its key is not for" in await refusal_of(tokens, other)


async def test_token_is_refused_unread_when_it_is_huge(tokens: OidcAuthenticator) -> None:
    assert str(MAX_TOKEN_BYTES) in await refusal_of(tokens, "a.b." + "c" * (1 << 20))


async def test_a_new_key_is_fetched_at_a_bounded_rate_when_tokens_name_it(
    provider: IdentityProvider, tokens: OidcAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await principal_of(tokens, provider.token())
    fetched = provider.fetches
    monkeypatch.setattr(key_set, "UNKNOWN_KEY_SECONDS", 0.0)
    provider.add("second")
    assert (await principal_of(tokens, provider.token("second"))).tenant == "acme"
    assert provider.fetches == fetched + 1

    monkeypatch.undo()
    for number in range(20):
        unknown = provider.token(f"unknown-{number}", key=provider.keys["first"])
        assert "does not list" in await refusal_of(tokens, unknown)
    assert provider.fetches == fetched + 1


async def test_a_withdrawn_key_is_refused_when_the_keys_were_read_anew(
    provider: IdentityProvider, tokens: OidcAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = provider.token()
    await principal_of(tokens, old)
    monkeypatch.setattr(key_set, "UNKNOWN_KEY_SECONDS", 0.0)
    provider.add("second")
    del provider.keys["first"]
    await principal_of(tokens, provider.token("second"))
    assert "does not list" in await refusal_of(tokens, old)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, None), (302, None), (200, b"<html>"), (200, b"x" * (key_set.MAX_BYTES + 1)), (200, b"")],
)
async def test_known_keys_stay_in_force_when_the_provider_fails(
    provider: IdentityProvider,
    tokens: OidcAuthenticator,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    answer: bytes | None,
) -> None:
    await principal_of(tokens, provider.token())
    monkeypatch.setattr(key_set, "UNKNOWN_KEY_SECONDS", 0.0)
    provider.status, provider.answer = status, answer
    unknown = provider.token("unknown", key=provider.keys["first"])
    assert "cannot be read at present" in await refusal_of(tokens, unknown)
    assert (await principal_of(tokens, provider.token())).tenant == "acme"


async def test_the_gateway_serves_only_when_the_keys_were_read_once(
    provider: IdentityProvider, benches: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_set, "FETCH_SECONDS", 0.1)
    monkeypatch.setattr(key_set, "REFRESH_SECONDS", 0.1)
    provider.status = 503
    with capture_logs() as logs:
        bench = await benches.start(OidcAuthenticator(RULES, KeySet(provider.url)))
        watch = HealthStub(bench.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        provider.status = 200
        assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.SERVING
        # Known keys do not go with the provider, and the log tells that they could not be read.
        provider.status = 500
        told = len(logs)
        await until_told(logs, told)
        assert bench.gateway.health.is_serving
        metadata = (("authorization", f"Bearer {provider.token()}"),)
        await bench.inference.ListGenerations(ListGenerationsRequest(), metadata=metadata)
    watch.cancel()
    said = [entry for entry in logs if entry.get("what") == f"signing keys of {provider.url}"]
    assert [(entry["log_level"], entry["event"]) for entry in said] == [
        ("error", "not reloaded, the last good one stays"),
        ("info", "reloaded"),
        ("error", "not reloaded, the last good one stays"),
    ]
    assert "500" in said[-1]["why"]


async def until_told(logs: Sequence[Any], count: int) -> None:
    """Wait for an error beyond the first `count` lines."""

    async def is_told() -> bool:
        return any(entry["log_level"] == "error" for entry in logs[count:])

    await until(is_told)


async def test_others_are_served_when_the_provider_trickles(
    provider: IdentityProvider, tokens: OidcAuthenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await principal_of(tokens, provider.token())
    monkeypatch.setattr(key_set, "UNKNOWN_KEY_SECONDS", 0.0)
    monkeypatch.setattr(key_set, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(http_fetch, "FETCH_SECONDS", 0.5)
    provider.trickles = True
    unknown = provider.token("unknown", key=provider.keys["first"])
    waiting = asyncio.create_task(refusal_of(tokens, unknown))
    assert (await principal_of(tokens, provider.token())).tenant == "acme"
    await waiting
    provider.trickles = False
    provider.add("unknown", provider.keys["first"])

    async def is_known() -> bool:
        try:
            await principal_of(tokens, unknown)
        except UnauthenticatedError:
            return False
        return True

    await until(is_known)


async def test_keys_and_tokens_are_told_apart_when_both_are_accepted(
    provider: IdentityProvider, tokens: OidcAuthenticator
) -> None:
    key = ApiKey(Principal("alice"), hashlib.sha256(b"alice-key").digest())
    both = BearerAuthenticator(tokens, KeyFileAuthenticator([key]))
    assert (await principal_of(both, "alice-key")).tenant == "alice"
    assert (await principal_of(both, provider.token())).tenant == "acme"
    assert "API key is not known" in await refusal_of(both, "bob-key-that-nobody-knows")
    only = BearerAuthenticator(tokens, None)
    assert "only tokens" in await refusal_of(only, "alice-key")


async def test_keys_are_followed_when_they_are_in_a_file(
    provider: IdentityProvider, tmp_path: Path
) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(provider.jwks())
    authenticator = OidcAuthenticator(RULES, KeySet(str(path)))
    following = asyncio.create_task(authenticator.run())
    provider.add("second")
    assert "does not list" in await refusal_of(authenticator, provider.token("second"))
    path.write_bytes(provider.jwks())

    async def is_known() -> bool:
        try:
            await principal_of(authenticator, provider.token("second"))
        except UnauthenticatedError:
            return False
        return True

    await until(is_known)
    await cancel_all([following])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"oidc_issuer": ISSUER}, "OIDC_AUDIENCE and FACET_GATEWAY_OIDC_JWKS"),
        ({"oidc_jwks": "https://issuer.test/jwks"}, "OIDC_ISSUER and FACET_GATEWAY_OIDC_AUDIENCE"),
        (
            {"oidc_issuer": ISSUER, "oidc_audience": "a", "oidc_jwks": "http://issuer.test/jwks"},
            "want an https URL",
        ),
        (
            {"oidc_issuer": ISSUER, "oidc_audience": "a", "oidc_jwks": "file:///etc/passwd"},
            "want an https URL",
        ),
    ],
)
def test_start_is_refused_when_the_settings_do_not_go_together(
    settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        token_authenticator(GatewaySettings(**settings))
