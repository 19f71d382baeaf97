# tvg: builds the shim (libtvgshim.so) and the analyzer (tvg). `make help` lists the targets.
# `make` installs nothing; `make deps` installs what Debian and PyPI have. Everything built lies under $(BUILD).
BUILD   ?= build
PREFIX  ?= /usr/local
CC      ?= gcc
PYTHON  ?= python3
VERSION := 0.1.0
SAN     ?=

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-overlength-strings
CFLAGS  ?= -O2 -g
BASE    := -std=gnu11 $(WARN) -D_GNU_SOURCE -DTVG_VERSION='"$(VERSION)"' -I. -MMD -MP $(SAN)
SHIM_CFLAGS := $(BASE) -fPIC -fvisibility=hidden -fexceptions -fasynchronous-unwind-tables -fno-omit-frame-pointer -ftls-model=initial-exec
TVG_CFLAGS  := $(BASE) -fPIC -DTVG_DATADIR='"$(PREFIX)/share/tvg"'

TRACE_SRC     := $(wildcard trace/*.c)
SHIM_SRC      := $(wildcard shim/*.c shim/record/*.c shim/intercept/*.c shim/hooks/*.c shim/sources/*.c)
ANALYZER_SRC  := $(filter-out analyzer/main.c,$(wildcard analyzer/*.c analyzer/report/*.c analyzer/commands/*.c))
OPTIMIZER_SRC := $(wildcard optimizer/*.c optimizer/rewrites/*.c)
SPECS         := $(wildcard shim/specs/*.spec)
GEN_SRC       := $(SPECS:shim/specs/%.spec=$(BUILD)/gen/%.c)

SHIM_OBJ := $(patsubst %.c,$(BUILD)/shim-obj/%.o,$(TRACE_SRC) $(SHIM_SRC)) $(patsubst $(BUILD)/gen/%.c,$(BUILD)/shim-obj/gen/%.o,$(GEN_SRC))
LIB_OBJ  := $(patsubst %.c,$(BUILD)/tvg-obj/%.o,$(TRACE_SRC) $(ANALYZER_SRC) $(OPTIMIZER_SRC))

all: $(BUILD)/libtvgshim.so $(BUILD)/tvg
.PHONY: all help deps demo test unit e2e stacks bench fuzz sanitize clean install check-deps
.SECONDARY:
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
	$(CC) $(BASE) $(CFLAGS) -o $@ $<
$(BUILD)/gen/%.c: shim/specs/%.spec $(BUILD)/specgen
	@mkdir -p $(@D)
	$(BUILD)/specgen $< > $@
$(BUILD)/shim-obj/gen/%.o: $(BUILD)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(SHIM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/shim-obj/%.o: %.c | $(BUILD)/deps.ok
	@mkdir -p $(@D)
	$(CC) $(SHIM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
SHIM_LIBS ?= -Wl,-Bstatic -lmsgpackc -llz4 -Wl,-Bdynamic
$(BUILD)/libtvgshim.so: $(SHIM_OBJ) shim/shim.map
	$(CC) $(SAN) -shared -Wl,-soname,libtvgshim.so -Wl,-z,initfirst -Wl,-z,now -Wl,--exclude-libs,ALL -Wl,--version-script=shim/shim.map \
	  -static-libgcc $(LDFLAGS) -o $@ $(SHIM_OBJ) $(SHIM_LIBS) -ldl -lpthread

# --- the analyzer ----------------------------------------------------------------------------------------------------
$(BUILD)/tvg-obj/%.o: %.c | $(BUILD)/deps.ok
	@mkdir -p $(@D)
	$(CC) $(TVG_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/libtvg.a: $(LIB_OBJ)
	@rm -f $@; ar rcs $@ $^
TVG_LIBS ?= -lmsgpackc -llz4 -ljansson -lm -lpthread
$(BUILD)/tvg: $(BUILD)/tvg-obj/analyzer/main.o $(BUILD)/libtvg.a
	$(CC) $(SAN) $(LDFLAGS) -o $@ $^ $(TVG_LIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# --- unit tests: each tests/unit/test_*.c is one cmocka program linked with libtvg.a ------------------------------------
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libtvg.a
	@mkdir -p $(@D)
	$(CC) $(TVG_CFLAGS) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(BUILD)/libtvg.a -lcmocka $(TVG_LIBS) -ldl

include $(sort $(wildcard */build.mk))

clean:
	rm -rf $(BUILD)
