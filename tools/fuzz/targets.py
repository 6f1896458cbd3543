"""What is fuzzed: every method, every document and every credential that comes from outside.

A listener with bodies of its own adds its targets to `targets`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from random import Random
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError, Message

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.api.v1.content_pb2 import Blob, Content, Part
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.api.v1.inference_service_pb2 import (
    GenerateContentRequest,
    StreamGenerateContentRequest,
    StreamGenerateContentResponse,
    SubmitGenerationRequest,
)
from facet.core.errors import FacetError
from facet.gateway import api_keys, framing, key_set
from facet.gateway.authentication import BearerAuthenticator
from facet.gateway.authenticator import Principal
from facet.gateway.key_set import KeySet
from facet.gateway.oidc import OidcAuthenticator, OidcRules
from facet.gateway.tenants import parse_tenants
from facet.queue.generation_id import is_generation_id
from facet.worker.engine.media_decode import MediaDecoder
from tests.support import media_samples
from tools.fuzz.case import Case, Target
from tools.fuzz.decoding import decoding
from tools.fuzz.gateway import FuzzedGateway, is_operators
from tools.fuzz.mutation import filled, mutated, noise, text
from tools.fuzz.seeded import names_for

_MEDIA = {
    "image/png": media_samples.png(),
    "image/jpeg": media_samples.jpeg(),
    "image/gif": media_samples.gif(),
    "audio/wav": media_samples.WAV,
    "video/mp4": media_samples.MP4,
}
_RULES = OidcRules("https://issuer.test", "facet", "tenant", "realm.roles", "admin", 5)
_KEY = ec.generate_private_key(ec.SECP256R1())
_METADATA_NAMES = ("authorization", "traceparent", "tracestate", "x-forwarded-for", "tenant")


def targets(gateway: FuzzedGateway, decoder: MediaDecoder, jwks_file: str) -> list[Target]:
    """All of them; `jwks_file` is where the provider's keys were written, see `jwks`."""
    methods = [_method(gateway, name) for name in gateway.request_types]
    keys = api_keys.KeyFileAuthenticator(
        [api_keys.ApiKey(Principal("acme"), hashlib.sha256(b"key").digest())]
    )
    bearers = BearerAuthenticator(OidcAuthenticator(_RULES, KeySet(jwks_file)), keys)

    async def authenticate(case: Case) -> None:
        try:
            await bearers.authenticate(case.metadata)
        except FacetError:
            return

    return [
        *methods,
        _media(gateway),
        decoding(decoder),
        Target("credentials", _credentials, authenticate),
        _document("key-file", _key_line, lambda data: api_keys.parse_keys(data, "keys")),
        _document("tenants-file", _tenants, lambda data: parse_tenants(data, "tenants")),
        _document("jwks", lambda _: jwks(), key_set.parse_keys),
        _document("event-frames", _log_bytes, framing.event_frames),
        _document("envelope", _envelope_bytes, Envelope.FromString),
        _document("generation-id", lambda random: text(random).encode(), _read_id),
    ]


def jwks() -> bytes:
    """The provider's keys."""
    entry = jwt.algorithms.ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [{**entry, "kid": "k", "use": "sig"}]}).encode()


def _method(gateway: FuzzedGateway, name: str) -> Target:
    request_type = gateway.request_types[name]
    short = name.rpartition("/")[2]

    def make(random: Random) -> Case:
        body = _named(random, name, _valid(request_type)).SerializeToString()
        match random.randrange(4):
            case 0:
                body = noise(random, 200)
            case 1:
                body = mutated(random, body)
            case _:
                request = filled(random, _valid(request_type))
                body = _named(random, name, request).SerializeToString()
        return Case(short, body, _metadata(random))

    async def run(case: Case) -> None:
        await gateway.call(name, case.body, case.metadata)

    return Target(short, make, run)


def _named(random: Random, method: str, request: Any) -> Message:
    """The request, most often for generations that are there: a tenant's also for a stranger's."""
    names = names_for(method.rpartition("/")[2], is_operators=is_operators(method))
    fields = request.DESCRIPTOR.fields_by_name
    if "generation_id" in fields and random.random() < 0.8:
        request.generation_id = random.choice(names)
    if "generation_ids" in fields and random.random() < 0.8:
        request.generation_ids.extend(random.sample(names, random.randrange(1, 5)))
    return cast("Message", request)


def _valid(request_type: type[Message]) -> Message:
    request = request_type()
    if isinstance(
        request, GenerateContentRequest | StreamGenerateContentRequest | SubmitGenerationRequest
    ):
        request.request.CopyFrom(GenerationRequest(contents=[Content(parts=[Part(text="hello")])]))
    return request


def _media(gateway: FuzzedGateway) -> Target:
    def make(random: Random) -> Case:
        mime_type = random.choice(tuple(_MEDIA))
        blob = Blob(mime_type=mime_type, data=mutated(random, _MEDIA[mime_type]))
        parts = [Part(inline_data=blob), Part(text="what?")]
        request = GenerationRequest(contents=[Content(parts=parts)])
        return Case("media", SubmitGenerationRequest(request=request).SerializeToString())

    async def run(case: Case) -> None:
        await gateway.call("/facet.v1.InferenceService/SubmitGeneration", case.body, ())

    return Target("media", make, run)


def _metadata(random: Random) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (random.choice(_METADATA_NAMES), random.choice((text(random), noise(random, 30))))
        for _ in range(random.randrange(4))
    )


def _credentials(random: Random) -> Case:
    claims = {
        "iss": "https://issuer.test",
        "aud": "facet",
        "tenant": "acme",
        "iat": 0,
        "exp": 2**40,
    }
    odd: tuple[Any, ...] = (
        None,
        [],
        {},
        "",
        0,
        -1,
        2**70,
        1e300,
        [1],
        "a" * 99,
        {"roles": 1},
        True,
    )
    for _ in range(random.randrange(3)):
        claims[random.choice((*claims, "nbf", "realm", "sub"))] = random.choice(odd)
    header = {"kid": random.choice(("k", "k", "k", "other", ""))}
    try:
        token = jwt.encode(claims, _KEY, algorithm="ES256", headers=header).encode()
    except (TypeError, ValueError):
        token = b"a.b.c"
    if random.random() < 0.7:
        token = mutated(random, token)
    if random.random() < 0.2:
        token = random.choice((b"key", noise(random, 60), b"." * 2, text(random).encode()))
    value = token.decode(errors="replace")
    return Case("credentials", b"", (*_metadata(random), ("authorization", f"Bearer {value}")))


def _document(
    name: str, valid: Callable[[Random], bytes], parse: Callable[[bytes], object]
) -> Target:
    def make(random: Random) -> Case:
        return Case(name, mutated(random, valid(random)))

    async def run(case: Case) -> None:
        try:
            parse(case.body)
        except (ValueError, DecodeError):
            # What a document that is wrong is said to raise.
            return

    return Target(name, make, run)


def _key_line(random: Random) -> bytes:
    digest = hashlib.sha256(noise(random, 8)).hexdigest()
    options = random.choice(("", ":weight=2", ":expires=2030-01-01T00:00:00Z", ":admin"))
    return f"# keys\nacme:{digest}{options}\n".encode()


def _tenants(random: Random) -> bytes:
    limits = ("requests_per_minute", "tokens_per_minute", "max_concurrent", "max_media_bytes")
    terms = {name: random.choice((None, 1, 1 << 40)) for name in limits}
    return json.dumps({"defaults": terms, "tenants": {"acme": {"weight": 2.5, **terms}}}).encode()


def _log_bytes(random: Random) -> bytes:
    return filled(random, StreamGenerateContentResponse()).SerializeToString()


def _envelope_bytes(random: Random) -> bytes:
    return filled(random, Envelope()).SerializeToString()


def _read_id(data: bytes) -> bool:
    return is_generation_id(data.decode(errors="replace"))
