FROM python:3.12-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

RUN python -m venv /opt/driftline
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY schemas ./schemas
COPY stream ./stream
RUN /opt/driftline/bin/pip install -c constraints.txt .


FROM python:3.12-slim-bookworm

ENV PATH=/opt/driftline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DRIFTLINE_HTTP_HOST=0.0.0.0 \
    DRIFTLINE_HTTP_PORT=6066

RUN useradd --uid 10001 --create-home --home-dir /var/lib/driftline --shell /usr/sbin/nologin driftline
COPY --from=build /opt/driftline /opt/driftline

USER 10001
WORKDIR /var/lib/driftline
EXPOSE 6066
STOPSIGNAL SIGTERM

# The empty ProxyHandler keeps a proxy from the environment away from the loopback.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['DRIFTLINE_HTTP_PORT'] + '/healthz', timeout=4)"]

ENTRYPOINT ["driftline"]
CMD ["worker"]
