# Rowlock with its embedded Postgres; give DATABASE_URL to use another. Data is in /data, S3 on port 9000.
FROM python:3.12-slim

# Postgres refuses to run as root, and nothing here needs to.
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin rowlock \
    && install -d -o rowlock -g rowlock -m 0700 /data
WORKDIR /app

# The dependencies first: a change of the code does not fetch them again.
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY sigv4 sigv4
COPY sql sql
RUN pip install --no-cache-dir --no-deps .

USER rowlock
ENV ROWLOCK_DATA_DIR=/data ROWLOCK_LOG_FORMAT=json
VOLUME /data
EXPOSE 9000
# Asks for a bucket that does not exist, so that the answer (any below 500) proves the way to the database too.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('ROWLOCK_PORT') or 9000), timeout=5); c.request('HEAD', '/rowlock-health'); sys.exit(c.getresponse().status >= 500)"]
ENTRYPOINT ["rowlock"]
CMD ["serve", "--host", "0.0.0.0"]
