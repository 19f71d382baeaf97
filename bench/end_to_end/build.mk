#: bench-end_to_end  numpy inference and /bin/true with and without the shim; bytes an op of encoder traces
BENCHES += end_to_end
.PHONY: bench-end_to_end
bench-end_to_end: all | $(VENV)/ok
	@BUILD="$(abspath $(BUILD))" $(VENV)/bin/python bench/end_to_end/run.py $(ARGS)
