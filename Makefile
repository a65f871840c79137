# Everything sets up .venv by itself. `make` alone says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MEASURES := $(VENV)/.measures
TYPINGS := $(VENV)/typings
STUBS := micropython-esp32-stubs==1.29.0.post1

.PHONY: help setup run flash deploy doctor test thorough lint scenes bench bench-wakeword fuzz format clean
help:
	@echo "make run     the demo: hold the button, speak, get the recording (out/demo)"
	@echo "make flash   MicroPython, then the firmware, onto a bare board (BOARD=, PORT=)"
	@echo "make deploy  the firmware onto a board that runs MicroPython (BOARD=, PORT=)"
	@echo "make doctor  what is wrong with it (BOARD=, PORT=)"
	@echo "make test    all tests, in some four minutes"
	@echo "make thorough  the same, with twice as much of what is random"
	@echo "make lint    ruff, mypy over host tools and firmware, and the rules of viper kernels"
	@echo "make scenes  real-time scenes on virtual glasses, a row of numbers for each"
	@echo "make bench   measurements (out/bench.json)"
	@echo "make bench-wakeword  a wake word beside the C libraries: exactness, which decides, speed, size"
	@echo "make fuzz    hostile bytes by the hundred thousand, about ten minutes"
	@echo "make clean   remove .venv and out"

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Lunette needs Python 3.10 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(TYPINGS): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-user --upgrade --target $@ $(STUBS)
	@touch $@

run: $(READY)
	@$(BIN)/lunette demo --out out/demo

flash: $(READY)
	@$(BIN)/lunette flash $(if $(BOARD),--board $(BOARD)) $(if $(PORT),--port $(PORT))

deploy: $(READY)
	@$(BIN)/lunette deploy $(if $(BOARD),--board $(BOARD)) $(if $(PORT),--port $(PORT))

doctor: $(READY)
	@$(BIN)/lunette doctor $(if $(BOARD),--board $(BOARD)) $(if $(PORT),--port $(PORT))

test: $(READY)
	$(BIN)/python -m pytest

thorough: $(READY)
	LUNETTE_THOROUGH=2 $(BIN)/python -m pytest

lint: $(READY) $(TYPINGS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file firmware.mypy.ini
	$(BIN)/python -m lunette.virtual.viper_lint firmware

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

scenes: $(READY)
	@$(BIN)/python -m tests.scenes

# Without a C compiler the speech measures are left out, and the bench says so.
$(MEASURES): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]' || \
	  echo "make bench: no measures of speech, see above"
	@touch $@

bench: $(MEASURES)
	@$(BIN)/python -m tests.bench

bench-wakeword: $(READY)
	@$(BIN)/python -m tests.bench.wakeword

fuzz: $(READY)
	@$(BIN)/python -m tests.fuzz

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .hypothesis
