# rnn_xp on an NVIDIA GPU.  In the checkout:
# docker build -f docker/gpu.Dockerfile -t rnn-xp-gpu --build-arg COMMIT="$(git rev-parse HEAD)" .
ARG BASE_IMAGE=python:3.12.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
COPY docker/requirements.txt docker/gpu-requirements.txt /build/
# Two environments: pip stays in the one that is left behind.
RUN python -m venv /build/pip \
 && python -m venv --without-pip /opt/venv \
 && /build/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: \
        -r /build/requirements.txt -r /build/gpu-requirements.txt
COPY . /app
# Readable whatever the umask of the checkout was; compiled here, as no one may write there later.
RUN chmod -R a+rX,go-w /app \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/rnn_xp

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# /tmp is all that must be writable: CuPy keeps its compiled kernels there. The driver comes from the host.
ENV PATH="/opt/venv/bin:${PATH}" \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis \
    CUPY_CACHE_DIR=/tmp/cupy \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# What a record says of its sources: git is not here to tell.
ARG COMMIT
ENV RNN_XP_COMMIT=${COMMIT}
USER 10001:10001
# As Ctrl-C: `rnn-xp train --out` keeps the last epoch.
STOPSIGNAL SIGINT
ENTRYPOINT ["/opt/venv/bin/python", "/app/docker/entry.py", "cupy"]
CMD ["bench"]
