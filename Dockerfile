# syntax=docker/dockerfile:1
# `cpu` (the default) and `cuda` serve the embedded checkpoint, which is prepared in a layer, or any other; `vllm` serves large
# checkpoints through vLLM; `jobs` labels, trains and evaluates.
#   docker build -t stepscore:0.1.0 .
#   docker build -t stepscore:0.1.0-cuda --target cuda .
FROM python:3.12-slim AS python
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# The project's own wheel. Its layer changes with the source; the dependencies' below does not.
FROM python AS wheels
WORKDIR /source
COPY pyproject.toml README.md ./
COPY models models
COPY service service
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python AS dependencies
RUN python -m venv /opt/stepscore
ENV PATH=/opt/stepscore/bin:$PATH
COPY pyproject.toml deploy/requirements.py /source/

# The folder of CPU wheels spares several GB of CUDA libraries that the default wheel of Linux brings.
FROM dependencies AS cpu-environment
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --index-url "$TORCH_INDEX" 'torch>=2.11,<2.14' \
 && python /source/requirements.py serve embedded > /source/requirements.txt \
 && pip install -r /source/requirements.txt
RUN --mount=from=wheels,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl

# The default wheel of Linux carries the CUDA libraries; the host gives the driver (NVIDIA's container toolkit).
FROM dependencies AS cuda-environment
RUN python /source/requirements.py serve embedded > /source/requirements.txt \
 && pip install -r /source/requirements.txt
RUN --mount=from=wheels,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl

# vLLM chooses its own torch.
FROM dependencies AS vllm-environment
RUN python /source/requirements.py serve vllm > /source/requirements.txt \
 && pip install -r /source/requirements.txt
RUN --mount=from=wheels,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl

# What the jobs need beside the service: label on Ray, train, evaluate, tables.
FROM cuda-environment AS jobs-environment
RUN python /source/requirements.py train ray tables > /source/requirements.txt \
 && pip install -r /source/requirements.txt

FROM python AS runtime
RUN groupadd --gid 10001 stepscore \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin stepscore \
 && install --directory --owner=10001 --group=10001 /var/cache/stepscore /var/cache/huggingface
# Inside a container 0.0.0.0 is its own network: who is reached depends on what is published. Turn INSECURE off with keys.
# The root file system may be read-only: the embedded checkpoint is only read, checkpoints from a hub go to HF_HOME.
ENV PATH=/opt/stepscore/bin:$PATH \
    STEPSCORE_HOST=0.0.0.0 \
    STEPSCORE_PORT=8000 \
    STEPSCORE_LOG_FORMAT=json \
    STEPSCORE_INSECURE=true \
    XDG_CACHE_HOME=/var/cache \
    HF_HOME=/var/cache/huggingface
WORKDIR /var/cache/stepscore
EXPOSE 8000
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['STEPSCORE_PORT'] + '/health/ready', timeout=4)"]
# The exec form: SIGTERM reaches the server, which drains.
ENTRYPOINT ["stepscore"]
CMD ["serve"]

# Triton compiles small C programs at the start, for which it needs a compiler.
FROM runtime AS cuda-runtime
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
USER 10001:10001

FROM cuda-runtime AS vllm
COPY --from=vllm-environment /opt/stepscore /opt/stepscore

# KubeRay's probes call wget.
FROM cuda-runtime AS jobs
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends wget \
 && rm -rf /var/lib/apt/lists/*
USER 10001:10001
COPY --from=jobs-environment /opt/stepscore /opt/stepscore

FROM cuda-runtime AS cuda
COPY --from=cuda-environment /opt/stepscore /opt/stepscore
RUN python -m stepscore.embedded.prepare && rm -r /var/cache/stepscore/gguf

FROM runtime AS cpu
COPY --from=cpu-environment /opt/stepscore /opt/stepscore
RUN python -m stepscore.embedded.prepare && rm -r /var/cache/stepscore/gguf
