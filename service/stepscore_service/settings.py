"""Every setting of the service: a field here, an environment variable STEPSCORE_<NAME> and a flag of `stepscore serve`.

An unknown name is an error wherever it is given, so that a misspelt variable is noticed at the start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stepscore.calibration import Calibration, read_calibration
from stepscore.config import (
    AUTO_DTYPE,
    CPU_BFLOAT16,
    DTYPE_ALIASES,
    MOST_BATCH_TOKENS,
    MOST_THREADS,
    Compile,
    CudaGraphs,
    Device,
    DType,
    EngineOptions,
    Mode,
    Quantize,
)
from stepscore_service.schemas.chat import ChatTemplateName

PREFIX = "STEPSCORE_"
RENAMED = {"STEPSCORE_REFERENCE": "STEPSCORE_REFERENCE_MODEL"}
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")
"""What a browser sends as `Origin`: no path, no slash at the end."""

ENGINE = EngineOptions()
"""The defaults of the settings that go to the engine."""
REFUSED_DTYPES = ("fp16", "float16", "half")

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Texts = Annotated[tuple[str, ...], NoDecode]
"""Several texts; an environment variable separates them with commas."""


WireFormat = Literal["openrlhf", "slime", "llama_factory", "vllm", "nemo_gym", "tei", "kserve", "roll"]
FORMATS: tuple[WireFormat, ...] = get_args(WireFormat)


class Settings(BaseSettings):
    """How the service runs. Frozen: a running service never changes its settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for every interface")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="separate port for /metrics and reloads; by default the main port serves them",
    )
    insecure: bool = Field(False, description="listen beyond the loopback interface without API keys")
    api_key: SecretStr = Field(SecretStr(""), description="a key that every request must send as its bearer token")
    api_keys: Path | None = Field(
        None, description="file of hashed keys with scopes (docs/security.md); it is reread when it changes"
    )
    cors_origins: Texts = Field((), description="web origins whose pages may call the service; by default none")
    tls_certificate: Path | None = Field(None, description="certificate chain in PEM format; turns TLS on")
    tls_key: Path | None = Field(None, description="private key of the certificate")
    tls_key_password: SecretStr = Field(SecretStr(""), description="password of the private key")
    tls_client_ca: Path | None = Field(
        None, description="certificate authorities; a client must show a certificate that one of them signed"
    )
    root_path: str = Field("", description="path under which a proxy publishes the service, for example /prm")

    models: Texts = Field(
        ("embedded",),
        description="what to serve: 'embedded', 'embedded-head', a folder or a Hub id, each optionally as name=model, "
        "in the variable separated by commas; the first is the default of requests that name none",
    )
    formats: Annotated[tuple[WireFormat, ...], NoDecode] = Field(
        FORMATS, description="trainers and tools whose request formats are served too (docs/rl.md); by default all"
    )
    chat_template: ChatTemplateName = Field(
        "auto",
        description="chat template of prompts that trainers send as one text; auto recognises it from the text",
    )
    tokenizers: Texts = Field(
        (),
        description="policies' tokenizers, for rewards of tokens (docs/rl.md): folders or Hub ids, each optionally as "
        "name=model",
    )
    drift_solutions: int = Field(
        1000,
        ge=20,
        description="scored solutions of each policy version that are compared with as many of the first version",
    )
    family: str | None = Field(None, description="family of every model; by default recognised from each checkpoint")
    family_options: Texts = Field((), description="options of the family, each as key=value")
    cache: Path | None = Field(None, description="folder for prepared checkpoints; by default ~/.cache/stepscore")
    reference_model: Path | None = Field(
        ENGINE.reference_model, description="folder of the reference model of an implicit PRM"
    )
    generator: str = Field(
        ENGINE.generator,
        description="what generates a judge's text: openai:URL, openai:URL#MODEL or vllm; by default its own "
        "checkpoint",
    )

    policy: str = Field(
        "",
        description="policy that writes solutions for /search: a folder, a Hub id, vllm:MODEL, or URL[#NAME] of a "
        "server; without one, /search is off",
    )
    engine: str = Field(
        "torch",
        description="what runs the forward passes: torch, vllm (in this process), or vllm:ADDRESS (a vLLM server)",
    )
    device: Device = Field(ENGINE.device, description="where the model runs")
    dtype: DType = Field(
        ENGINE.dtype, description=f"number format of the forward: float32 (fp32) or bfloat16 (bf16); {AUTO_DTYPE}"
    )
    mode: Mode = Field(ENGINE.mode, description="fast shares prefixes; invariant is bitwise independent of the batch")
    threads: int = Field(
        ENGINE.threads, ge=0, le=MOST_THREADS, description="CPU threads of a forward; 0 takes torch's default"
    )
    max_tokens: int = Field(
        ENGINE.max_tokens, ge=0, description="longest sequence in tokens; 0 takes the checkpoint's own limit"
    )
    max_batch_tokens: int = Field(
        ENGINE.max_batch_tokens,
        ge=0,
        le=MOST_BATCH_TOKENS,
        description="tokens of one forward; 0 lets the engine choose",
    )
    max_batch_solutions: int = Field(0, ge=0, description="solutions of one forward; 0 sets no limit")
    tensor_parallel_size: int = Field(
        ENGINE.tensor_parallel_size,
        ge=1,
        description="GPUs over which vLLM in this process spreads a model (a 72B needs 2 or more)",
    )
    data_parallel: int = Field(
        1,
        ge=1,
        description="engines over each model behind this address, each in a process of its own with a GPU of its own, "
        "or with an even share of the CPU's threads (docs/engine.md)",
    )
    ray: bool = Field(
        False,
        description="serve from replicas on the Ray cluster that the variable RAY_ADDRESS names, else on a new one on "
        "this machine (extra ray; docs/deploy.md)",
    )
    ray_replicas: int = Field(1, ge=1, description="replicas on the Ray cluster; with --ray-max-replicas, the fewest")
    ray_max_replicas: int = Field(
        0, ge=0, description="most replicas on the Ray cluster; 0 keeps as many as --ray-replicas"
    )
    ray_replica_tokens: int = Field(
        20_000, ge=1, description="waiting tokens per replica beyond which Ray starts another one"
    )
    ray_replica_cpus: int = Field(1, ge=1, description="CPUs that Ray gives to a replica; its GPUs follow the device")
    kv_cache_bytes: int = Field(
        ENGINE.kv_cache_bytes,
        ge=-1,
        description="prefix cache kept across requests, in bytes; 0 turns it off, -1 is 1 GiB on CPU and half of "
        "the free memory on CUDA",
    )
    compile: Compile = Field(
        ENGINE.compile, description="fuse the layers' elementwise functions; auto does it on CUDA, after a slower start"
    )
    cuda_graphs: CudaGraphs = Field(
        ENGINE.cuda_graphs,
        description="launch forwards of up to 1,024 tokens as one CUDA graph; auto does it on CUDA in bfloat16",
    )
    quantize: Quantize = Field(
        ENGINE.quantize, description="8-bit weights on CUDA: int8 saves memory, fp8 saves time in large forwards"
    )
    max_quantize_error: float = Field(
        ENGINE.max_quantize_error,
        gt=0.0,
        description="largest change of a probe's reward by 8-bit weights; beyond it the start is refused",
    )

    temperature: float = Field(
        1.0,
        gt=0.0,
        allow_inf_nan=False,
        description="rewards that are probabilities p become sigmoid(logit(p) / temperature); 1 changes nothing",
    )
    calibration: Path | None = Field(
        None, description="calibration.json of `stepscore evaluate`, instead of a temperature"
    )

    max_queue_tokens: int = Field(
        1_000_000, ge=1, description="tokens that may wait for one model; more are refused with 503"
    )
    max_queue_seconds: float = Field(
        60.0,
        ge=0.0,
        allow_inf_nan=False,
        description="seconds that a request may have to wait, as estimated from the measured rate; more is refused "
        "with 503; 0 sets no limit",
    )
    max_forward_seconds: float = Field(
        600.0,
        ge=0.0,
        allow_inf_nan=False,
        description="seconds after which a forward counts as hung and /health/live fails; 0 sets no limit",
    )
    max_body_bytes: int = Field(16 << 20, ge=1, description="largest request body in bytes; more is refused with 413")
    max_header_bytes: int = Field(
        32 << 10, ge=1024, description="largest request line and headers in bytes; more are refused with 431"
    )
    max_connections: int = Field(
        1000, ge=1, description="open connections; on further ones only probes are answered, the rest with 503"
    )
    head_seconds: float = Field(
        10.0,
        ge=0.0,
        allow_inf_nan=False,
        description="seconds in which a request's headers must arrive; 0 sets no limit",
    )
    body_seconds: float = Field(
        60.0, ge=0.0, allow_inf_nan=False, description="seconds in which a request's body must arrive; 0 sets no limit"
    )
    send_seconds: float = Field(
        60.0,
        ge=0.0,
        allow_inf_nan=False,
        description="seconds that a client may leave an answer unread; 0 sets no limit",
    )
    idle_seconds: int = Field(
        75,
        ge=1,
        description="seconds after which an idle connection is closed; longer than clients keep one, so that none "
        "sends a request on a connection that is just being closed",
    )
    max_characters: int = Field(
        1_000_000,
        ge=1,
        description="characters of one problem with its solution; more are refused before they are tokenised",
    )
    max_items: int = Field(10_000, ge=1, description="solutions in one /score request; more are refused with 413")
    max_candidates: int = Field(1024, ge=1, description="candidates in one /rerank request; more are refused with 413")
    idempotency_seconds: float = Field(
        600.0,
        ge=0.0,
        allow_inf_nan=False,
        description="seconds for which the answer to a request with an Idempotency-Key is kept; 0 ignores such keys",
    )
    idempotency_bytes: int = Field(16 << 20, ge=0, description="bytes of answers that are kept for such keys")
    drain_seconds: float = Field(
        30.0, ge=0.0, allow_inf_nan=False, description="seconds that running requests get to finish at shutdown"
    )

    allow_reload: bool = Field(False, description="exchange a model's weights on request (docs/online.md)")
    admin_token: SecretStr = Field(
        SecretStr(""), description="bearer token that a reload must send; needed beyond the loopback interface"
    )
    reload_folder: Path | None = Field(
        None, description="the only folder from which a reload takes weights; by default any folder or Hub id"
    )

    otlp_endpoint: str = Field(
        "", description="OpenTelemetry collector for traces, for example http://127.0.0.1:4318; by default none"
    )
    log_format: LogFormat = Field("console", description="console for people, json for machines")
    log_level: LogLevel = Field("info", description="lowest level that is logged")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        unknown = unknown_variables(os.environ)
        if unknown:
            hints = "".join(f"; {name} is now {RENAMED[name]}" for name in unknown if name in RENAMED)
            raise ValueError(
                f"unknown environment variables {', '.join(unknown)}{hints}; `stepscore serve --help` lists all"
            )
        return values

    @field_validator("dtype", mode="before")
    @classmethod
    def _resolve_alias(cls, value: object) -> object:
        if value in REFUSED_DTYPES:
            raise ValueError("float16 overflows in these models; choose bfloat16 (bf16) or float32 (fp32)")
        return DTYPE_ALIASES.get(value, value) if isinstance(value, str) else value

    @field_validator("models", "tokenizers", "family_options", "formats", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("models", "tokenizers")
    @classmethod
    def _each_named_once(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        names = [name for name, _ in map(split_name, models)]
        if len(set(names)) < len(names):
            raise ValueError(f"two models have the same name: {', '.join(names)}")
        return models

    @field_validator("models", "tokenizers")
    @classmethod
    def _each_has_both_parts(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [model for model in models if not all(split_name(model))]:
            raise ValueError(f"{wrong[0]!r} is not of the form name=model")
        return models

    @field_validator("models")
    @classmethod
    def _at_least_one(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if not models:
            raise ValueError("name at least one model")
        return models

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, host: str) -> str:
        if not host or set(host) & set("[]/ "):
            raise ValueError("give a name or an address alone, such as 127.0.0.1 or ::1")
        return host

    @field_validator("root_path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if path and (not path.startswith("/") or path.endswith("/")):
            raise ValueError("give a path that begins with a slash and does not end with one, such as /prm")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [each for each in origins if not ORIGIN.fullmatch(each)]:
            raise ValueError(f"{wrong[0]!r} is not an origin: give scheme://host or scheme://host:port, or *")
        return origins

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_a_url(cls, endpoint: str) -> str:
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise ValueError("give an address that begins with http:// or https://")
        return endpoint

    @model_validator(mode="after")
    def _keys_can_be_sent(self) -> Self:
        """Given but empty is what an unset variable of a script looks like; it must not open the service."""
        keys = {"--api-key": self.api_key, "--admin-token": self.admin_token}
        for flag, key in keys.items():
            given = flag.removeprefix("--").replace("-", "_") in self.model_fields_set
            if given and not re.fullmatch(r"[\x21-\x7e]+", key.get_secret_value()):
                raise ValueError(f"{flag} is empty or holds what no header can: give visible ASCII characters")
        return self

    @model_validator(mode="after")
    def _ports_and_keys_differ(self) -> Self:
        if self.port and self.port == self.admin_port:
            raise ValueError("--admin-port is the same as --port: give another, or leave it out")
        key = self.api_key.get_secret_value()
        if key and key == self.admin_token.get_secret_value():
            raise ValueError("--api-key and --admin-token are the same: give two keys")
        return self

    @model_validator(mode="after")
    def _one_calibration(self) -> Self:
        if self.calibration is not None and self.temperature != 1.0:
            raise ValueError("give either --temperature or --calibration")
        return self

    @model_validator(mode="after")
    def _guarded_reload(self) -> Self:
        guarded = self.admin_token.get_secret_value() or self.api_keys
        if self.allow_reload and not self.on_loopback and not guarded:
            raise ValueError("--allow-reload on an address that others can reach needs --admin-token or --api-keys")
        if self.allow_reload and self.api_key.get_secret_value() and not guarded:
            raise ValueError("--allow-reload beside --api-key needs --admin-token or --api-keys as well")
        return self

    @model_validator(mode="after")
    def _whole_certificate(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("give both --tls-certificate and --tls-key, or neither")
        if self.tls_client_ca and self.tls_certificate is None:
            raise ValueError("--tls-client-ca needs --tls-certificate")
        return self

    @model_validator(mode="after")
    def _replicas_can_do_it(self) -> Self:
        if not self.ray:
            return self
        missing = {"--admin-port": self.admin_port, "--tls-client-ca": self.tls_client_ca}
        if given := [flag for flag, value in missing.items() if value is not None]:
            raise ValueError(f"Ray's proxy has no {given[0]}: leave it out, or serve without --ray")
        if self.allow_reload:
            raise ValueError("--allow-reload would exchange the weights of one replica: leave it out, or --ray")
        if 0 < self.ray_max_replicas < self.ray_replicas:
            raise ValueError("--ray-max-replicas is less than --ray-replicas")
        return self

    @property
    def needs_key(self) -> bool:
        """Whether a request needs an API key."""
        return bool(self.api_keys or self.api_key.get_secret_value())

    @property
    def exposed(self) -> bool:
        """Whether others could use the service without a key, and nobody said that this is meant."""
        return not (self.on_loopback or self.needs_key or self.insecure)

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @field_validator("family_options")
    @classmethod
    def _are_pairs(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            if "=" not in option:
                raise ValueError(f"{option!r} is not of the form key=value")
        return options

    def engine_options(self) -> EngineOptions:
        """Every field of EngineOptions is a setting of the same name."""
        return EngineOptions(**{option.name: getattr(self, option.name) for option in fields(EngineOptions)})

    def calibration_of_rewards(self) -> Calibration | None:
        """What is done to every reward; None for nothing. Raises InvalidOption if the file cannot be used."""
        if self.calibration is not None:
            return read_calibration(self.calibration)
        return None if self.temperature == 1.0 else Calibration(self.temperature)

    def options_of_family(self) -> dict[str, str]:
        pairs = (option.partition("=") for option in self.family_options)
        return {key: value for key, _, value in pairs}


def split_name(model: str) -> tuple[str, str]:
    """(name, model) of `name=model`; a model without a name is its own name, and so is a path (`/runs/lr=1e-5`)."""
    name, equals, path = model.partition("=")
    return (name, path) if equals and not name.startswith(("/", "./", "../")) else (model, model)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The STEPSCORE_* variables that are not settings, sorted."""
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields} | {CPU_BFLOAT16}
    return sorted(key for key in environment if key.upper().startswith(PREFIX) and key.upper() not in known)


MODEL_SETTINGS = frozenset(
    {
        "models",
        "family",
        "family_options",
        "engine",
        "temperature",
        "calibration",
        *(option.name for option in fields(EngineOptions)),
    }
)
"""The settings that say which model reads and how: the offline commands take these, `serve` takes all."""
