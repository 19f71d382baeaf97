#: stacks     real inference stacks, each installed by pip into build/stacks (large downloads; kept when TVG_STACKS_KEEP is set); ARGS='-k name' picks some
.PHONY: stacks
stacks: all | $(VENV)/ok
	@BUILD=$(abspath $(BUILD)) $(VENV)/bin/python -m pytest -c tests/pytest.ini --rootdir=. tests/stacks --durations=10 $(ARGS); \
	status=$$?; if [ -z "$$TVG_STACKS_KEEP" ]; then rm -rf $(BUILD)/stacks; fi; exit $$status
