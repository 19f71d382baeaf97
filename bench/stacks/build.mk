#: bench-stacks  what the shim costs each inference stack: imports, and inference end to end (installs the stacks one at a time; ARGS='--only torch' picks;
#:            TVG_BENCH_PYTHON='torch=PATH jax=PATH ...': interpreters that have them)
BENCHES += stacks
.PHONY: bench-stacks
bench-stacks: all | $(VENV)/ok
	@BUILD="$(abspath $(BUILD))" $(VENV)/bin/python bench/stacks/run.py $(ARGS)
