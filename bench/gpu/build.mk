#: bench-gpu     on a machine with a card: what recording costs, beside torch.profiler; the energy model against the meter (8 minutes; GPU_PYTHON has torch)
# Not among BENCHES: `make bench` asks for no card.
.PHONY: bench-gpu
bench-gpu: all
	@BUILD="$(abspath $(BUILD))" TVG_GPU_PYTHON="$(GPU_PYTHON)" $(PYTHON) bench/gpu/run.py $(ARGS)
