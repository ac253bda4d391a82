# Myelin. `make help` lists what there is. Everything that CI runs is a target here.
#
# VARIANT chooses flags and the build folder: release (default), check, asan, tsan, fuzz.
SHELL := /bin/bash
VARIANT ?= release
CC ?= gcc
PREFIX ?= /usr/local

warnings := -Wall -Wextra -Wshadow -Wconversion -Werror
common := -std=gnu11 -D_GNU_SOURCE -I. $(warnings) -g -fno-omit-frame-pointer -pthread -MMD -MP
flags_release := -O2
flags_check := -O1 -DMYELIN_CHECK_HOT=1
flags_asan := -O1 -DMYELIN_CHECK_HOT=1 -fsanitize=address,undefined -fno-sanitize-recover=all
flags_tsan := -O1 -DMYELIN_CHECK_HOT=1 -fsanitize=thread
flags_fuzz := -O1 -DMYELIN_CHECK_HOT=1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# The sanitizers bring an allocator of their own.
allocator_release := -ljemalloc
allocator_check := -ljemalloc

flags := $(common) $(flags_$(VARIANT)) $(CFLAGS)
libraries := -luring -lssl -lcrypto -ljansson -lcrypt -lm $(allocator_$(VARIANT))
link_flags := -pthread $(filter -fsanitize=% -fno-sanitize%,$(flags_$(VARIANT))) $(LDFLAGS)

out := $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
objects_dir := $(out)/objects

server_main := shards/main.c
library_sources := $(filter-out $(server_main),$(wildcard core/*/*.c net/*.c store/*.c raft/*.c shards/*.c shards/*/*.c))
bench_sources := $(wildcard bench/*.c)
unit_sources := $(shell find tests/unit -name '*.c' 2>/dev/null | sort)
object_of = $(patsubst %.c,$(objects_dir)/%.o,$(1))

library := $(out)/libmyelin.a

.DEFAULT_GOAL := build
.PHONY: build
build: $(out)/myelin $(out)/myelin-bench ## build the server and the load generator

$(objects_dir)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(flags) -c $< -o $@

$(library): $(call object_of,$(library_sources))
	@rm -f $@
	ar rcs $@ $^

$(out)/myelin: $(call object_of,$(server_main)) $(library)
	$(CC) $(link_flags) $^ -o $@ $(libraries)

$(out)/myelin-bench: $(call object_of,$(bench_sources)) $(library)
	$(CC) $(link_flags) $^ -o $@ $(libraries)

$(out)/unit-tests: $(call object_of,$(unit_sources)) $(library)
	$(CC) $(link_flags) $^ -o $@ $(libraries) -lcriterion

-include $(shell find $(objects_dir) -name '*.d' 2>/dev/null)

.PHONY: unit
unit: ## build and run the unit tests (VARIANT=check|asan|tsan)
	$(MAKE) VARIANT=$(if $(filter release,$(VARIANT)),check,$(VARIANT)) unit-run
.PHONY: unit-run
unit-run: $(out)/unit-tests
	$(out)/unit-tests $(UNIT_ARGUMENTS)

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
