# On a machine with an NVIDIA card; never in CI. GPU_PYTHON: the interpreter that has torch, torchvision and transformers.
GPU_PYTHON ?= python3
GPU_OUT    ?= $(BUILD)/gpu
.PHONY: test-gpu fixtures-gpu gpu-bundle
#: test-gpu      on a machine with a card: each claim about GPUs against torch's own counts (9 minutes; GPU_PYTHON has torch; ARGS=--all: every model in every way)
test-gpu: all | $(VENV)/ok
	@BUILD="$(abspath $(BUILD))" TVG_GPU_PYTHON="$(GPU_PYTHON)" $(VENV)/bin/python -m pytest -c tests/pytest.ini --rootdir=. tests/gpu --durations=10 $(ARGS)

#: fixtures-gpu  on a machine with a card: records the traces of tests/fixtures/gpu anew, each with what torch says of it, into $(GPU_OUT) (9 minutes)
fixtures-gpu: all
	@BUILD="$(abspath $(BUILD))" TVG_GPU_PYTHON="$(GPU_PYTHON)" $(PYTHON) tests/gpu/record.py --out $(GPU_OUT) $(ARGS)

#: gpu-bundle    one tar that does all of it on a machine that can't build tvg: see tests/gpu/README.md
# The analyzer with its libraries inside it: the other machine has none of them.
$(BUILD)/gpu/tvg: $(BUILD)/tvg-obj/analyzer/main.o $(BUILD)/libtvg.a
	@mkdir -p $(@D)
	$(CC) $(SAN) $(LDFLAGS) -o $@ $^ -Wl,-Bstatic -lmsgpackc -llz4 -ljansson -Wl,-Bdynamic -lm -lpthread
gpu-bundle: $(BUILD)/gpu/tvg $(BUILD)/libtvgshim.so | $(VENV)/ok
	@tests/gpu/bundle.sh "$(BUILD)" "$(VENV)/bin/python" "$(STRIP)"
