# Rowlock with its embedded Postgres; give DATABASE_URL to use another. Data is in /data, S3 on port 9000.
# tests/unit/test_deployment.py replays the steps of the stage "build" without a container engine.
FROM ghcr.io/astral-sh/uv:0.13.8 AS uv

FROM python:3.12-slim-trixie AS build
COPY --from=uv /uv /usr/local/bin/
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/rowlock
WORKDIR /build
RUN uv venv /opt/rowlock
# The dependencies first: a change of the code does not fetch them again.
COPY requirements.lock ./
RUN uv pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY sigv4 sigv4
COPY sql sql
RUN uv pip install --no-deps .

FROM python:3.12-slim-trixie
LABEL org.opencontainers.image.title="Rowlock" org.opencontainers.image.licenses="Apache-2.0"
# Postgres refuses to run as root, and nothing here needs to.
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin rowlock \
    && install -d -o rowlock -g rowlock -m 0700 /data
COPY --from=build /opt/rowlock /opt/rowlock
ENV PATH=/opt/rowlock/bin:$PATH PYTHONUNBUFFERED=1 ROWLOCK_DATA_DIR=/data ROWLOCK_LOG_FORMAT=json
WORKDIR /data
USER rowlock
VOLUME /data
EXPOSE 9000
STOPSIGNAL SIGTERM
# 503 while Postgres or a backend does not answer; where the JSON API is off the answer is S3's, and below 500 proves as much.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s \
    CMD ["python", "-c", "import http.client, os, ssl, sys; tls = os.environ.get('ROWLOCK_TLS_CERT'); port = int(os.environ.get('ROWLOCK_PORT') or 9000); c = http.client.HTTPSConnection('127.0.0.1', port, timeout=5, context=ssl._create_unverified_context()) if tls else http.client.HTTPConnection('127.0.0.1', port, timeout=5); c.request('HEAD', '/storage/v1/health/ready'); sys.exit(c.getresponse().status >= 500)"]
ENTRYPOINT ["rowlock"]
CMD ["serve", "--host", "0.0.0.0"]
