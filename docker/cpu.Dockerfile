# rnn_xp on the CPU.  In the checkout: docker build -f docker/cpu.Dockerfile -t rnn-xp-cpu .
ARG BASE_IMAGE=python:3.12.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
COPY docker/requirements.txt /build/
# Two environments: pip stays in the one that is left behind.
RUN python -m venv /build/pip \
 && python -m venv --without-pip /opt/venv \
 && /build/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: \
        -r /build/requirements.txt
COPY . /app
# Readable whatever the umask of the checkout was; compiled here, as no one may write there later.
RUN chmod -R a+rX,go-w /app \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/rnn_xp

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# /tmp is all that must be writable.
ENV PATH="/opt/venv/bin:${PATH}" \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
USER 10001:10001
# As Ctrl-C: `rnn-xp train --out` keeps the last epoch.
STOPSIGNAL SIGINT
ENTRYPOINT ["/opt/venv/bin/python", "/app/docker/entry.py", "numpy"]
CMD ["train"]
