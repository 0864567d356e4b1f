"""Settings: environment, defaults, and names that do not exist."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from stepscore.config import EngineOptions
from stepscore_service.settings import Settings, split_name


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STEPSCORE_{name.upper()}", raising=False)


def test_the_defaults_serve_the_embedded_model_on_this_machine_only() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.models) == ("127.0.0.1", 8000, ("embedded",))


def test_every_setting_is_described_and_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(field.description for field in Settings.model_fields.values())
    monkeypatch.setenv("STEPSCORE_PORT", "9000")
    monkeypatch.setenv("STEPSCORE_MODELS", "math=/models/math, Qwen/Qwen2.5-Math-PRM-7B")
    monkeypatch.setenv("STEPSCORE_FAMILY_OPTIONS", "system=Be brief,separator= ")
    settings = Settings()
    assert settings.port == 9000
    assert [split_name(model) for model in settings.models] == [
        ("math", "/models/math"),
        ("Qwen/Qwen2.5-Math-PRM-7B", "Qwen/Qwen2.5-Math-PRM-7B"),
    ]
    assert settings.options_of_family()["system"] == "Be brief"


def test_unknown_names_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="prot"):
        Settings(prot=9000)  # type: ignore[call-arg]
    monkeypatch.setenv("STEPSCORE_PROT", "9000")
    with pytest.raises(ValidationError, match="STEPSCORE_PROT"):
        Settings()


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ()},
        {"models": ("a=x", "a=y")},
        {"port": 70000},
        {"max_queue_tokens": 0},
        {"drain_seconds": float("nan")},
        {"dtype": "float8"},
        {"family_options": ("no pair",)},
        {"host": ""},
        {"host": "[::1]"},
        {"host": "http://127.0.0.1"},
        {"port": 9000, "admin_port": 9000},
        {"root_path": "prm"},
        {"root_path": "/prm/"},
        {"cors_origins": ("example.com",)},
        {"cors_origins": ("https://example.com/",)},
        {"otlp_endpoint": "collector:4318"},
        {"api_key": ""},
        {"api_key": " padded"},
        {"admin_token": "schlüssel"},
        {"api_key": "same", "admin_token": "same"},
        {"models": ("=/models/a",)},
        {"models": ("a=",)},
        {"threads": 100_000},
        {"max_batch_tokens": 10_000_000},
    ],
)
def test_values_that_cannot_be_used_are_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


@pytest.mark.parametrize(
    ("host", "exposed"),
    [("127.0.0.1", False), ("127.0.0.2", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)],
)
def test_what_others_reach_is_known_by_its_address(host: str, exposed: bool) -> None:
    assert Settings(host=host).exposed is exposed


def test_a_path_may_hold_an_equals_sign() -> None:
    assert split_name("/runs/lr=1e-5/last") == ("/runs/lr=1e-5/last", "/runs/lr=1e-5/last")
    assert split_name("best=/runs/lr=1e-5/last") == ("best", "/runs/lr=1e-5/last")


def test_origins_may_have_a_port_or_be_all() -> None:
    assert Settings(cors_origins=("https://a.example:8443", "*")).cors_origins == ("https://a.example:8443", "*")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


OTHER_THAN_DEFAULT = EngineOptions(
    device="cpu",
    dtype="bfloat16",
    mode="invariant",
    max_batch_tokens=2048,
    kv_cache_bytes=0,
    compile="off",
    cuda_graphs="off",
    max_tokens=512,
    threads=3,
    reference_model=Path("reference"),
    tensor_parallel_size=4,
    generator="vllm",
    quantize="int8",
    max_quantize_error=0.5,
)


def test_every_option_of_the_engine_is_a_setting() -> None:
    given = asdict(OTHER_THAN_DEFAULT)
    assert all(value != getattr(EngineOptions(), name) for name, value in given.items()), "a value that shows nothing"
    assert Settings(**given).engine_options() == OTHER_THAN_DEFAULT
    assert Settings().engine_options() == EngineOptions()


@pytest.mark.parametrize(("alias", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16"), ("float32", "float32")])
def test_the_usual_short_names_of_number_formats_are_understood(alias: str, dtype: str) -> None:
    assert Settings.model_validate({"dtype": alias}).dtype == dtype


@pytest.mark.parametrize("dtype", ["fp16", "float16", "half"])
def test_half_precision_is_refused_with_a_reason(dtype: str) -> None:
    with pytest.raises(ValidationError, match="overflows"):
        Settings.model_validate({"dtype": dtype})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"admin_port": 9000}, "Ray's proxy has no --admin-port"),
        (
            {"tls_client_ca": "ca.pem", "tls_certificate": "c.pem", "tls_key": "k.pem"},
            "Ray's proxy has no --tls-client",
        ),
        ({"allow_reload": True}, "--allow-reload would exchange the weights of one replica"),
        ({"ray_replicas": 3, "ray_max_replicas": 2}, "--ray-max-replicas is less than --ray-replicas"),
    ],
)
def test_what_replicas_on_ray_cannot_do_is_refused(given: dict[str, object], reason: str) -> None:
    assert not Settings(**given).ray
    with pytest.raises(ValidationError, match=reason):
        Settings(ray=True, **given)
