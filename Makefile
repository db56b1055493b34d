# make up: the whole system with demo data.  make test: every check and test.  See README.md.
.POSIX:
.PHONY: help install up test lint lock clean

help:
	@sed -n 's/^## //p' Makefile

## make install   make or refresh .venv (both commands below do it by themselves)
install:
	@sh .ci/install

## make up        run everything on this machine with demo data; Ctrl-C stops it
up: install
	@exec .venv/bin/python manage.py up

## make test      format, lint, types, layers, migrations, tests on SQLite and PostgreSQL, browser tests
test: install
	@exec .venv/bin/python -m tests.run

## make lint      put the code into house style and check it
lint: install
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format . && .venv/bin/mypy . && .venv/bin/lint-imports

## make lock      write requirements*.txt from pyproject.toml (needs uv); UPGRADE=--upgrade takes newer versions
COMPILE = uv pip compile pyproject.toml --universal --python-version 3.12 --generate-hashes \
	--no-header --no-annotate --quiet $(UPGRADE)
lock:
	PATH="$$PATH:$$PWD/.venv/bin" $(COMPILE) --output-file requirements.txt
	PATH="$$PATH:$$PWD/.venv/bin" $(COMPILE) --constraint requirements.txt --group test --output-file requirements-test.txt

## make clean     remove .venv and var/ (the demo's data and secrets)
clean:
	rm -rf .venv var
