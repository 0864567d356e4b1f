"""Settings: environment, defaults, and names that do not exist."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from stepscore_service.settings import Settings, named


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
    assert [named(model) for model in settings.models] == [
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
    ],
)
def test_values_that_cannot_be_used_are_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_the_engine_gets_what_concerns_it() -> None:
    options = Settings(mode="invariant", max_tokens=512, kv_cache_bytes=0, tensor_parallel_size=4).engine_options()
    assert (options.mode, options.max_tokens, options.kv_cache_bytes) == ("invariant", 512, 0)
    assert options.tensor_parallel_size == 4
