# syntax=docker/dockerfile:1
# One image for the web server and the workers; see docs/deploy.md. No compiler and no pip in the final stage.

FROM python:3.13-slim AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/redrive
COPY requirements.txt /tmp/requirements.txt
RUN /opt/redrive/bin/python -m pip install --require-hashes -r /tmp/requirements.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --no-create-home redrive
COPY --from=packages /opt/redrive /opt/redrive
COPY . /app
WORKDIR /app
# VAR_DIR holds the collected static files; nothing else is written there once DATABASE_URL points to PostgreSQL.
ENV PATH=/opt/redrive/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VAR_DIR=/app/var BIND=0.0.0.0 PORT=8000 WEB_WORKERS=2
RUN SECRET_KEY=only-while-building python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q /app
USER redrive
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD \
    ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=4)"]
CMD ["python", "manage.py", "web"]
