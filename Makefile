# Two commands do all the set-up. They need python3 with venv, git and make.
#
#   make run    install devproxy into .venv and run the example bundle
#   make test   install what the tests need and run every gate
#
PYTHON ?= python3
VENV := .venv
OPERATIONS ?= 1000000
KILLS ?= 1000

.PHONY: run test lint unit oldest rows bench soak soak-vfs soak-kills soak-races soak-leases soak-lab clean help

help:
	@sed -n 's/^#   //p' Makefile

run: $(VENV)/.devproxy
	@scripts/example

test: $(VENV)/.dev
	@scripts/system-packages
	@scripts/gate

lint: $(VENV)/.dev
	@scripts/gate lint

unit: $(VENV)/.dev
	@scripts/gate tests

# What builds on the kernel, in the ways of the oldest kernels that will do.
oldest: $(VENV)/.dev
	@scripts/system-packages
	@scripts/gate oldest

# Every row of docs/rows.md with its tests; `scripts/rows --write` writes that page.
rows: $(VENV)/.dev
	@scripts/rows

# A guest in QEMU with stub drivers of GPUs and TPUs: hwtests/README.md. The second time it needs no network.
lab: $(VENV)/.dev
	@hwtests/lab/packages
	@$(VENV)/bin/python -m hwtests.lab $(LAB)

# The tests on this machine's own GPUs and TPUs; leaves what they saw in hardware.tar.
hardware: $(VENV)/.dev
	@scripts/hardware

bench: $(VENV)/.devproxy
	@$(VENV)/bin/devproxy bench

# A million calls compared with the kernel, a few minutes.
soak-vfs: $(VENV)/.dev
	@scripts/system-packages
	@DEVPROXY_OPERATIONS=$(OPERATIONS) $(VENV)/bin/python -m pytest tests/differential/vfs tests/differential/fuse \
		tests/differential/test_overlay.py tests/differential/test_hostfs.py tests/property/test_vfs_threads.py

# devproxy killed a thousand times at random moments, and a thousand times at system calls.
soak-kills: $(VENV)/.dev
	@DEVPROXY_KILLS=$(KILLS) $(VENV)/bin/python -m pytest tests/kills tests/devproxy/jobs/setup/test_kills.py

# The races of images that change while they are built, a minute each.
soak-races: $(VENV)/.dev
	@scripts/system-packages
	@DEVPROXY_RACE_SECONDS=60 $(VENV)/bin/python -m pytest tests/attacks/test_races.py

# Ten thousand leases by 32 workers of two users, a fifth of them killed.
soak-leases: $(VENV)/.dev
	@DEVPROXY_LEASES=10000 $(VENV)/bin/python -m pytest tests/devproxy/jobs/test_lease.py

# Two hundred jobs of all kinds in the lab, the hardware changing below them.
soak-lab: $(VENV)/.dev
	@hwtests/lab/packages
	@DEVPROXY_LAB_JOBS=200 $(VENV)/bin/python -m hwtests.lab --timeout 1800 -- hwtests/lab/guest/test_jobs.py

# Those, and the long forms of the other random tests: a hundred times the cases, hours.
soak: soak-vfs soak-kills soak-races soak-leases soak-lab
	@DEVPROXY_HYPOTHESIS=soak $(VENV)/bin/python -m pytest -m property

$(VENV)/.devproxy: pyproject.toml
	@scripts/virtualenv $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.dev: $(VENV)/.devproxy
	@scripts/virtualenv $(PYTHON) $(VENV) dev
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
