# Myelin. `make help` lists what there is. Everything that CI runs is a target here.
#
# VARIANT chooses flags and the build folder: release (default), check, asan, tsan, fuzz.
# Blocks for a suite of their own stand at the end. A block whose programs `make test`, `make asan` and
# `make tsan` shall run says `test_targets += its-target`; the target is run once per VARIANT and takes its
# programs from $(out). What makes no sense in a variant stands between ifeq ($(VARIANT),...) and endif.
SHELL := /bin/bash
VARIANT ?= release
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
# Seconds per fuzzer of `make fuzz`; arguments of the server for `make run`.
FUZZ_SECONDS ?= 10
ARGUMENTS ?=

# One job per processor, unless the caller chose.
ifeq ($(MAKELEVEL)$(filter -j% --jobserver%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory

# What protoc-c makes of *.proto, for all variants.
generated_dir := build/generated
warnings := -Wall -Wextra -Wshadow -Wconversion -Werror
common := -std=gnu11 -D_GNU_SOURCE -I. -I$(generated_dir) $(warnings) -g -fno-omit-frame-pointer -pthread -MMD -MP
flags_release := -O2
# A variable that nobody has set holds a pattern, so that reading it fails each time and not by chance.
flags_check := -O1 -DMYELIN_CHECK_HOT=1 -ftrivial-auto-var-init=pattern
flags_asan := -ftrivial-auto-var-init=pattern -O1 -DMYELIN_CHECK_HOT=1 -fsanitize=address,undefined -fno-sanitize-recover=all
flags_tsan := -O1 -DMYELIN_CHECK_HOT=1 -fsanitize=thread
flags_fuzz := -O1 -DMYELIN_CHECK_HOT=1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# The sanitizers bring an allocator of their own.
allocator_release := -ljemalloc
allocator_check := -ljemalloc

# AES-GCM for processors that OpenSSL 3.0 does not know well (net/tls_gcm.h); Debian has it for amd64.
ipsec_mb := $(if $(wildcard /usr/include/intel-ipsec-mb.h),-lIPSec_MB)
common += $(if $(ipsec_mb),-DMYELIN_IPSEC_MB=1)

flags := $(common) $(flags_$(VARIANT)) $(CFLAGS)
libraries := $(ipsec_mb) -luring -lssl -lcrypto -lsodium -lcrypt -lisal -lprotobuf-c -lz -lsnappy -lm $(allocator_$(VARIANT))
link_flags := -pthread $(filter -fsanitize=% -fno-sanitize%,$(flags_$(VARIANT))) $(LDFLAGS)

out := $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
objects_dir := $(out)/objects

server_main := shards/main.c
library_sources := $(filter-out $(server_main),$(wildcard core/*/*.c net/*.c store/*.c raft/*.c shards/*.c shards/*/*.c))
bench_main := bench/main.c
bench_sources := $(filter-out $(bench_main),$(wildcard bench/*.c))
unit_sources := $(shell find tests/unit -name '*.c' 2>/dev/null | sort)
ifeq ($(VARIANT),tsan)
# Only what crosses threads; all the rest is one thread by itself, in which there is nothing to find.
unit_sources := $(filter tests/unit/core/loop/% tests/unit/shards/test_post.c tests/unit/faults.c,$(unit_sources))
endif
fuzz_sources := $(sort $(wildcard tests/fuzz/fuzz_*.c))
object_of = $(patsubst %.c,$(objects_dir)/%.o,$(1))

protocols := $(wildcard shards/*/*.proto)
generated_headers := $(protocols:%.proto=$(generated_dir)/%.pb-c.h)
generated_objects := $(protocols:%.proto=$(objects_dir)/%.pb-c.o)

library := $(out)/libmyelin.a
bench_library := $(out)/libmyelin-bench.a
test_targets :=

.DEFAULT_GOAL := build
.PHONY: build
build: $(out)/myelin $(out)/myelin-bench ## build the server and the load generator

.PHONY: run
run: ## install what is missing, build, start the server (ARGUMENTS="-c file")
	@.ci/setup build
	$(MAKE) build
	exec $(out)/myelin $(ARGUMENTS)

.PHONY: setup
setup: ## install Debian packages for PURPOSE (build, test, lint, bench, interop, all)
	@.ci/setup $(or $(PURPOSE),build)

# Rewritten when compiler or flags change, and then all that depends on it is built again.
$(objects_dir)/flags: always
	@mkdir -p $(@D)
	@echo '$(CC) $(flags)' | cmp -s - $@ || echo '$(CC) $(flags)' >$@
.PHONY: always
always:

$(generated_dir)/%.pb-c.c $(generated_dir)/%.pb-c.h: %.proto
	@mkdir -p $(generated_dir)
	protoc-c --c_out=$(generated_dir) $<

$(objects_dir)/%.pb-c.o: $(generated_dir)/%.pb-c.c $(objects_dir)/flags
	@mkdir -p $(@D)
	$(CC) $(flags) -c $< -o $@

$(objects_dir)/%.o: %.c $(objects_dir)/flags | $(generated_headers)
	@mkdir -p $(@D)
	$(CC) $(flags) -c $< -o $@

# The live page's files are part of the program; no compiler says so.
$(objects_dir)/shards/control/monitor_page.o: $(wildcard shards/control/page/*)

$(library): $(call object_of,$(library_sources)) $(generated_objects)
	@rm -f $@
	ar rcs $@ $^

$(out)/myelin: $(call object_of,$(server_main)) $(library)
	$(CC) $(link_flags) $^ -o $@ $(libraries)

$(bench_library): $(call object_of,$(bench_sources))
	@rm -f $@
	ar rcs $@ $^

$(out)/myelin-bench: $(call object_of,$(bench_main)) $(bench_library) $(library)
	$(CC) $(link_flags) $^ -o $@ $(libraries)

# Criterion cannot start under the thread sanitizer and hides leaks; the runner says more, and takes its place.
unit_runner := $(if $(filter asan tsan,$(VARIANT)),tests/sanitizer/runner.c)
# tests/unit/faults.c stands before the allocator, so that tests can let memory run out.
unit_wraps := $(foreach name,new new_aligned grow copy free,-Wl,--wrap=memory_$(name))
$(out)/unit-tests: $(call object_of,$(unit_sources) $(unit_runner)) $(bench_library) $(library)
	$(CC) $(link_flags) $(unit_wraps) $^ -o $@ $(libraries) -ljansson -lcriterion

-include $(shell find $(objects_dir) -name '*.d' 2>/dev/null)

.PHONY: unit
unit: ## build and run the unit tests (VARIANT=check|asan|tsan)
	$(MAKE) VARIANT=$(if $(filter release,$(VARIANT)),check,$(VARIANT)) unit-run
.PHONY: unit-run
unit-run: $(out)/unit-tests
	$(out)/unit-tests $(UNIT_ARGUMENTS)

.PHONY: test
test: ## install what is missing, build, run every test
	@.ci/setup test
	$(MAKE) VARIANT=check suites

# One after the other where they want the machine for themselves; what mostly waits for servers goes on a job each,
# the longest first. The list is read when this runs, so blocks further down count.
waiting_suites := cluster-check gateway-check monitoring-check streaming-check streaming-outer-check \
	streaming-cluster-quick reload-check system-check restart-check permissions-check secrets-check service-check \
	imports-check options-check callout-check
.PHONY: suites
suites:
	@set -e; for suite in unit $(filter-out $(waiting_suites),$(test_targets)); do \
		$(MAKE) VARIANT=$(VARIANT) timed-$$suite; done
	@$(MAKE) VARIANT=$(VARIANT) --output-sync=recurse $(patsubst %,timed-%,$(filter $(test_targets),$(waiting_suites)))

# No file has such a name; .PHONY knows no patterns.
timed-%: always
	@set -e; echo "== $* ($(VARIANT))"; began=$$SECONDS; $(MAKE) VARIANT=$(VARIANT) $*; \
		echo "== $* ($(VARIANT)): $$((SECONDS - began)) s"

# The sanitizers of Debian 12 place their shadow memory where a kernel that randomizes more bits of addresses
# than they knew puts libraries; then they die at start, now and then. So without randomizing, where allowed.
fixed_addresses := $(shell setarch -R true 2>/dev/null && echo setarch -R)

# 99: a test that expects to exit with 1 shall not pass by the sanitizer's 1.
.PHONY: asan
asan: export ASAN_OPTIONS ?= exitcode=99
asan: export UBSAN_OPTIONS ?= exitcode=99:print_stacktrace=1
asan: ## run every test under the address and undefined behaviour sanitizers
	@.ci/setup test
	$(fixed_addresses) $(MAKE) VARIANT=asan suites

.PHONY: tsan
tsan: export TSAN_OPTIONS ?= halt_on_error=1 second_deadlock_stack=1
tsan: ## run every test under the thread sanitizer
	@.ci/setup test
	$(fixed_addresses) $(MAKE) VARIANT=tsan suites

# Each fuzzer starts from tests/fuzz/corpus/<name>, with the words of tests/fuzz/<name>.dict where there are any.
# What it learns stays in build/fuzz/corpus; what breaks it comes to build/fuzz/artifacts and, once understood,
# into the corpus.
.PHONY: fuzz
fuzz: ## build the fuzzers with clang and run each for FUZZ_SECONDS
	@.ci/setup test
	$(fixed_addresses) $(MAKE) VARIANT=fuzz CC=clang fuzz-run

fuzz_programs := $(patsubst tests/fuzz/%.c,$(out)/%,$(fuzz_sources))
fuzz_runs := $(patsubst tests/fuzz/fuzz_%.c,fuzz-run-%,$(fuzz_sources))

.PHONY: fuzz-run $(fuzz_runs)
fuzz-run: $(fuzz_runs)
	@echo "fuzz: $(words $(fuzz_runs)) fuzzers, $(FUZZ_SECONDS) seconds each, nothing found"

$(fuzz_programs): $(out)/fuzz_%: $(objects_dir)/tests/fuzz/fuzz_%.o $(bench_library) $(library)
	$(CC) $(link_flags) -fsanitize=fuzzer $^ -o $@ $(libraries)

$(fuzz_runs): fuzz-run-%: $(out)/fuzz_%
	@mkdir -p $(out)/artifacts/$* $(out)/corpus/$* $(out)/logs
	@$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 -artifact_prefix=$(out)/artifacts/$*/ \
		$(patsubst %,-dict=%,$(wildcard tests/fuzz/$*.dict)) $(out)/corpus/$* $(wildcard tests/fuzz/corpus/$*) \
		>$(out)/logs/$*.log 2>&1 || { tail -n 60 $(out)/logs/$*.log; \
		echo "fuzz $*: failed; the input is in $(out)/artifacts/$*" >&2; exit 1; }
	@echo "fuzz $*: $$(sed -n 's/^stat::number_of_executed_units: *//p' $(out)/logs/$*.log) inputs, nothing found"

# Lint. Each answer about one file is kept as a stamp in build/lint, so the second `make lint` asks about changed
# files only. Stamps depend on what the file includes, and on the tool's settings.
lint_dir := build/lint
lint_folders := core net store raft shards bench tests
lint_sources := $(shell find $(lint_folders) -name '*.c' -not -path '*/node_modules/*' 2>/dev/null | sort)
lint_headers := $(shell find $(lint_folders) -name '*.h' -not -path '*/node_modules/*' 2>/dev/null | sort)
lint_flags := -std=gnu11 -D_GNU_SOURCE -I. -I$(generated_dir) $(warnings) -Wvla -pthread
# Criterion's macros are not ours to tidy; unit tests are compiled twice, formatted, and held to the rules.
tidy_sources := $(filter-out tests/unit/%,$(lint_sources))
depend = -MMD -MP -MT $@ -MF $@.d

.PHONY: lint
lint: ## house rules, format, gcc and clang, clang-tidy, cppcheck
	@.ci/setup lint
	$(MAKE) -k lint-all

.PHONY: format
format: ## clang-format every source
	clang-format -i $(lint_sources) $(lint_headers)

.PHONY: lint-all lint-rules lint-format lint-compile lint-headers lint-tidy lint-cppcheck
lint-all: lint-rules lint-format lint-compile lint-headers lint-tidy lint-cppcheck

lint-rules: ## house rules only: quick, needs python3 alone
	@mkdir -p $(lint_dir)
	@python3 -B tests/lint/test_lint.py --quiet 2>$(lint_dir)/rules.log || { cat $(lint_dir)/rules.log; exit 1; }
	@tail -n 3 $(lint_dir)/rules.log | head -n 1 | sed 's/^/tests of the house rules: /'
	@python3 -B tests/lint/lint.py

lint-format:
	@status=0; for file in $(lint_sources) $(lint_headers); do \
		clang-format --dry-run -Werror $$file 2>/dev/null || { echo "$$file: not formatted; make format"; status=1; }; \
	done; exit $$status
	@echo "clang-format: $(words $(lint_sources) $(lint_headers)) files"

lint-compile: $(lint_sources:%=$(lint_dir)/gcc/%.ok) $(lint_sources:%=$(lint_dir)/clang/%.ok)
	@echo "gcc and clang: $(words $(lint_sources)) files"
$(lint_dir)/gcc/%.ok: % | $(generated_headers)
	@mkdir -p $(@D)
	@gcc $(lint_flags) $(depend) -O2 -c $< -o /dev/null && touch $@
$(lint_dir)/clang/%.ok: % | $(generated_headers)
	@mkdir -p $(@D)
	@clang $(lint_flags) $(depend) -fsyntax-only $< && touch $@

lint-headers: $(lint_headers:%=$(lint_dir)/alone/%.ok)
	@echo "headers that compile alone: $(words $(lint_headers))"
$(lint_dir)/alone/%.ok: % | $(generated_headers)
	@mkdir -p $(@D)
	@echo '#include "$<"' | gcc $(lint_flags) $(depend) -x c -c -o /dev/null - && touch $@

lint-tidy: $(tidy_sources:%=$(lint_dir)/tidy/%.ok)
	@echo "clang-tidy: $(words $(tidy_sources)) files"
$(lint_dir)/tidy/%.ok: % .clang-tidy | $(generated_headers)
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(lint_flags) -DMYELIN_CHECK_HOT=1 >$@.log 2>/dev/null || \
		{ cat $@.log; exit 1; }
	@clang $(lint_flags) -MM -MP -MT $@ -MF $@.d $< && touch $@

lint-cppcheck:
	@mkdir -p $(lint_dir)/cppcheck
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--library=posix,gnu --suppressions-list=tests/lint/cppcheck.txt --cppcheck-build-dir=$(lint_dir)/cppcheck \
		-D_GNU_SOURCE -I. -j$$(nproc) $(wildcard $(lint_folders))
	@echo "cppcheck: $(wildcard $(lint_folders))"

-include $(shell find $(lint_dir) -name '*.d' 2>/dev/null)

.PHONY: install
install: build ## install below PREFIX (/usr/local), in DESTDIR; keeps an existing configuration
	install -D -m 755 $(out)/myelin $(DESTDIR)$(PREFIX)/bin/myelin
	install -D -m 755 $(out)/myelin-bench $(DESTDIR)$(PREFIX)/bin/myelin-bench
	install -D -m 644 docs/myelin.conf $(DESTDIR)$(PREFIX)/share/doc/myelin/myelin.conf
	[ -e $(DESTDIR)$(SYSCONFDIR)/myelin.conf ] || \
		install -D -m 644 docs/myelin.conf $(DESTDIR)$(SYSCONFDIR)/myelin.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -e 's|/usr/local/bin|$(PREFIX)/bin|' -e 's|/etc/myelin.conf|$(SYSCONFDIR)/myelin.conf|' docs/myelin.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/myelin.service

.PHONY: uninstall
uninstall: ## remove what install put there, but not the configuration
	rm -f $(DESTDIR)$(PREFIX)/bin/myelin $(DESTDIR)$(PREFIX)/bin/myelin-bench
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/myelin.service
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/myelin

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# Real clients and the soak: docs/interop.md.
test_targets += c-client-test soak-test services-test
c_client_sources := $(wildcard tests/interop/c_client/*.c)
soak_sources := $(wildcard tests/server/soak*.c)

# The thread sanitizer knows nothing of what libnats and the OpenSSL below it do, and reports races between them: the
# client of that variant is the checked one.
ifeq ($(VARIANT),tsan)
c_client := build/check/c-client
$(c_client): always
	$(MAKE) VARIANT=check $@
else
c_client := $(out)/c-client
$(c_client): $(call object_of,$(c_client_sources))
	$(CC) $(link_flags) $^ -o $@ -lnats
endif

$(out)/soak: $(call object_of,$(soak_sources))
	$(CC) $(link_flags) $^ -o $@

.PHONY: interop
interop: $(out)/myelin $(out)/conformance $(c_client) page-check tools-check ## run the Go, JavaScript and Python clients' scenarios against the server, the live page, the nats tool
	C_CLIENT=$(c_client) tests/interop/run.sh $(out)/myelin go js py go-tls js-tls py-tls stan-go stan-js stan-py \
		stan-cluster stan-partitions
	$(if $(newest_nats_server),$(out)/conformance --server $(newest_nats_server) --only '*prox*')
	$(if $(newest_nats_server),python3 -B tests/integration/test_supercluster.py $(out)/myelin --only newest \
		--newest $(abspath $(newest_nats_server)))
	$(if $(newest_nats_server),python3 -B tests/integration/test_callout.py $(out)/myelin $(abspath $(newest_nats_server)))

.PHONY: tools-check
tools-check: $(out)/myelin ## run the nats command-line tool against the system account
	python3 -B tests/interop/tools/run.py $(out)/myelin

# PAGE_ARGUMENTS="--pictures FOLDER" keeps what the browser showed.
.PHONY: page-check
page-check: $(out)/myelin ## click through the live page in headless Chromium
	python3 -B tests/interop/page/run.py $(out)/myelin $(PAGE_ARGUMENTS)

.PHONY: c-client-test
c-client-test: $(out)/myelin $(c_client) ## run the C client's scenarios against the server
	C_CLIENT=$(c_client) tests/interop/run.sh $(out)/myelin c c-tls stan-c

.PHONY: soak-test
soak-test: $(out)/myelin $(out)/soak ## three times 14 s of random work across shards, accounts and mailboxes that are always full, every delivery checked against a model
	SOAK=$(out)/soak MYELIN_FLAGS="$(or $(MYELIN_FLAGS),--shards 3)" tests/server/soak.sh $(out)/myelin --seconds 14
	SOAK=$(out)/soak MYELIN_FLAGS="$(or $(MYELIN_FLAGS),--shards 3) --mailbox_bytes 65536" \
		tests/server/soak.sh $(out)/myelin --seconds 14
	SOAK=$(out)/soak SOAK_ACCOUNTS=4 MYELIN_FLAGS="$(or $(MYELIN_FLAGS),--shards 3)" tests/server/soak.sh $(out)/myelin \
		--seconds 14

.PHONY: services-test
services-test: $(out)/myelin $(out)/myelin-bench ## requests to services in other accounts, across shards and small mailboxes
	BENCH=$(out)/myelin-bench MYELIN_FLAGS="$(or $(MYELIN_FLAGS),--shards 3) --mailbox_bytes 65536" \
		tests/server/services.sh $(out)/myelin

# The conformance suite of the client protocol (docs/conformance.md): a program of its own, with no part of the server.
test_targets += conformance
conformance_sources := $(wildcard tests/conformance/*.c tests/server/bad_days*.c tests/server/slow_readers*.c) core/base/memory.c core/base/clock.c core/base/random.c core/base/err.c
nats_server ?= $(shell command -v nats-server)

$(out)/conformance: $(call object_of,$(conformance_sources))
	$(CC) $(link_flags) $^ -o $@ -ljansson -lcrypto

# Rows that only Myelin passes are wrong rows: the checked variant, so `make test`, runs them on nats-server as well.
proof_server = $(if $(filter check,$(VARIANT)),$(nats_server))
beside_nats = $(if $(proof_server),tests/server/beside.sh $(1) $(2) --)

# First on nats-server, and not beside: its rows take moments of all processors, such as storms of logins, which made
# rows on Myelin wait for seconds.
.PHONY: conformance
conformance: $(out)/conformance $(out)/myelin ## run the protocol cases against Myelin (VARIANT=check: and nats-server, where it is installed)
	$(if $(proof_server),$(out)/conformance --server "$(proof_server)" --quick $(CONFORMANCE_ARGUMENTS))
	$(out)/conformance --server $(out)/myelin $(CONFORMANCE_ARGUMENTS)

.PHONY: conformance-nats
conformance-nats: $(out)/conformance ## run the protocol cases against nats-server, when it is installed
	@if [ -z "$(nats_server)" ]; then echo "nats-server is not installed"; \
	else $(out)/conformance --server "$(nats_server)" $(CONFORMANCE_ARGUMENTS); fi

.PHONY: bench
bench: build ## Myelin and nats-server side by side (BENCH_ARGUMENTS, such as --scale 0.1 --rounds 3)
	python3 bench/compare.py --bench $(out)/myelin-bench --myelin $(out)/myelin --json $(out)/bench.json $(BENCH_ARGUMENTS)

# What one part costs alone: programs of their own, each says at its head how to use it.
micro_programs := $(patsubst tests/micro/%.c,$(out)/micro/%,$(wildcard tests/micro/*.c))
.PHONY: micro
micro: $(micro_programs) ## build the programs of tests/micro
$(out)/micro/%: $(objects_dir)/tests/micro/%.o $(library)
	@mkdir -p $(@D)
	$(CC) $(link_flags) $^ -o $@ $(libraries)

.PHONY: bench-cluster
bench-cluster: build ## two nodes of Myelin and of nats-server: CPU per message, bursts of interest
	python3 bench/cluster.py --bench $(out)/myelin-bench --myelin $(out)/myelin $(BENCH_ARGUMENTS)

.PHONY: bench-gateways
bench-gateways: build ## two clusters of Myelin and of nats-server: CPU per message
	python3 bench/gateways.py --bench $(out)/myelin-bench --myelin $(out)/myelin $(BENCH_ARGUMENTS)

.PHONY: bench-floods
bench-floods: build ## a client's latency while others flood the server with handshakes and wrong passwords
	python3 -B bench/floods.py --bench $(out)/myelin-bench --myelin $(out)/myelin $(BENCH_ARGUMENTS)

.PHONY: bench-streaming
bench-streaming: build ## NATS Streaming: Myelin, nats-streaming-server where it was built, and the disk alone
	python3 bench/streaming.py --bench $(out)/myelin-bench --myelin $(out)/myelin $(BENCH_ARGUMENTS)

.PHONY: bench-streaming-cluster
bench-streaming-cluster: build ## clustered streaming: rate, bytes of a replica, failover, catching up
	python3 -B bench/streaming_cluster.py --bench $(out)/myelin-bench --myelin $(out)/myelin $(BENCH_ARGUMENTS)

test_targets += bench-check
.PHONY: bench-check
bench-check: $(out)/myelin-bench ## check the load generator against a server that errs on purpose
	python3 tests/integration/test_bench.py $(out)/myelin-bench
	python3 -B tests/integration/test_bench_streaming.py $(out)/myelin-bench

test_targets += restart-check
.PHONY: restart-check
restart-check: $(out)/myelin ## kill the server and start it again at once, many times
	python3 tests/integration/test_restart.py $(out)/myelin

# TLS on the client port, from outside: tests/tls. Needs python3 and openssl.
test_targets += tls-test
.PHONY: tls-test
tls-test: export MYELIN_BENCH := $(abspath $(out)/myelin-bench)
tls-test: $(out)/myelin $(out)/myelin-bench ## run the cases of TLS against Myelin (VARIANT=check: and nats-server; TLS_CASES: some of them)
	$(call beside_nats,$(out)/tls-nats.log,python3 -B tests/tls/run.py "$(proof_server)" --jobs 4 $(TLS_CASES)) \
		python3 -B tests/tls/run.py $(out)/myelin $(if $(filter check,$(VARIANT)),--jobs 2) $(TLS_CASES)

.PHONY: tls-nats
tls-nats: $(out)/myelin-bench ## run the cases of TLS against nats-server, when it is installed
	@if [ -z "$(nats_server)" ]; then echo "nats-server is not installed"; \
	else MYELIN_BENCH=$(abspath $(out)/myelin-bench) python3 -B tests/tls/run.py "$(nats_server)" $(TLS_CASES); fi

test_targets += permissions-check
.PHONY: permissions-check
permissions-check: $(out)/myelin ## permissions across shards
	python3 tests/integration/test_permissions.py $(out)/myelin

test_targets += secrets-check
.PHONY: secrets-check
secrets-check: $(out)/myelin ## logins of every kind with -DV: no line of the log holds a secret
	python3 -B tests/integration/test_secrets.py $(out)/myelin

test_targets += reload-check
.PHONY: reload-check
reload-check: $(out)/myelin ## reloads of users, permissions, accounts, certificates and every option under load, on three shards; --signal
	python3 -B tests/integration/test_reload.py $(out)/myelin
	python3 -B tests/integration/test_reload_options.py $(out)/myelin
	python3 -B tests/integration/test_reload_times.py $(out)/myelin
	python3 -B tests/integration/test_reload_dials.py $(out)/myelin
	python3 -B tests/integration/test_signals.py $(out)/myelin

# One process for each name: a sanitizer would take its time for each, and finds nothing in the second that it has not in
# the first.
ifeq ($(VARIANT),check)
test_targets += options-check
endif
.PHONY: options-check
options-check: $(out)/myelin ## every name of nats-server's configuration: taken or refused, and documented
	python3 -B tests/integration/test_option_names.py $(out)/myelin

.PHONY: options-nats
options-nats: $(out)/myelin ## the names of options-check, proven by the nats-servers that are there
	python3 -B tests/integration/test_option_names.py $(out)/myelin $(nats_server) $(newest_nats_server)

.PHONY: reload-nats
reload-nats: ## the options of reload-check against nats-server, when it is installed
	@if [ -z "$(nats_server)" ]; then echo "nats-server is not installed"; \
	else python3 -B tests/integration/test_reload_options.py "$(nats_server)" && \
		python3 -B tests/integration/test_reload_times.py "$(nats_server)" && \
		python3 -B tests/integration/test_reload_dials.py "$(nats_server)" && \
		python3 -B tests/integration/test_signals.py "$(nats_server)"; fi

test_targets += service-check
.PHONY: service-check
service-check: $(out)/myelin ## what a service manager is told, from the start to the end
	python3 -B tests/integration/test_service.py $(out)/myelin

# As root, with the ip command; else it is skipped and says why.
test_targets += partition-check
.PHONY: partition-check
partition-check: $(out)/myelin ## clusters and super-clusters whose network breaks, heals, delays and loses, in network namespaces
	python3 -B tests/integration/test_partitions.py $(out)/myelin $(nats_server)

# With a nats-server that has auth callout: in `make interop`.
test_targets += callout-check
.PHONY: callout-check
callout-check: $(out)/myelin ## auth callout: a service in Python decides who comes in, over shards and servers
	python3 -B tests/integration/test_callout.py $(out)/myelin

test_targets += imports-check
.PHONY: imports-check
imports-check: $(out)/myelin ## imports and their bounds, mappings for clusters, latency samples of services, over shards and servers
	python3 -B tests/integration/test_imports.py $(out)/myelin
	python3 -B tests/integration/test_import_rules.py $(out)/myelin $(proof_server)
	python3 -B tests/integration/test_mappings.py $(out)/myelin $(nats_server) $(newest_nats_server)
	python3 -B tests/integration/test_latency.py $(out)/myelin $(nats_server) $(newest_nats_server)

# Compared with the nats-server that is installed, and with the newest one where bench/compare.py has built it.
test_targets += monitoring-check
.PHONY: monitoring-check
monitoring-check: $(out)/myelin ## compare monitoring with nats-server's, key by key
	python3 tests/integration/test_monitoring.py $(out)/myelin $(nats_server) $(wildcard build/nats-server-current/nats-server)
	python3 -B tests/integration/test_metrics.py $(out)/myelin
	python3 tests/integration/test_top.py $(out)/myelin $(nats_server) $(wildcard build/nats-server-current/nats-server)
	python3 -B tests/integration/test_monitoring_port.py $(out)/myelin
	python3 -B tests/integration/test_routez.py $(out)/myelin $(nats_server) $(wildcard build/nats-server-current/nats-server)
	python3 -B tests/integration/test_connz.py $(out)/myelin

.PHONY: monitoring-nats
monitoring-nats: ## the orders and reasons of monitoring-check against the nats-servers that are there
	python3 -B tests/integration/test_connz.py $(nats_server) $(wildcard build/nats-server-current/nats-server)

# The system account: answers and events compared with nats-server's, alone and in clusters (docs/events.md).
test_targets += system-check
.PHONY: system-check
system-check: $(out)/myelin ## compare the system account with nats-server's, key by key
	python3 -B tests/integration/test_system.py $(out)/myelin $(nats_server) $(wildcard build/nats-server-current/nats-server)
	python3 -B tests/integration/test_last_words.py $(out)/myelin $(nats_server) $(wildcard build/nats-server-current/nats-server)
	python3 -B tests/integration/test_subscribers.py $(out)/myelin $(nats_server) $(wildcard build/nats-server-current/nats-server)

# Super-clusters (docs/gateways.md). With the newest nats-server only in `make interop`.
test_targets += gateway-check
.PHONY: gateway-check
gateway-check: $(out)/myelin ## the gateway port by a scripted peer; clusters of one to three nodes joined by gateways; a thousand accounts in all modes
	python3 -B tests/integration/test_gateways.py $(out)/myelin
	python3 -B tests/integration/test_gateway_members.py $(out)/myelin
	python3 -B tests/integration/test_supercluster.py $(out)/myelin $(GATEWAY_ARGUMENTS)
	python3 -B tests/integration/test_gateway_modes.py $(out)/myelin $(nats_server)

# Clusters of three, of one kind and mixed with nats-servers (docs/clusters.md). The newest nats-server takes part where
# bench/compare.py has built it.
test_targets += cluster-check
newest_nats_server ?= $(wildcard build/nats-server-current/nats-server)
.PHONY: cluster-check
cluster-check: $(out)/myelin ## the route port by a scripted peer; clusters of three, nodes that die, a migration, reloads
	python3 tests/integration/test_routes.py $(out)/myelin
	python3 -B tests/integration/test_lost_server.py $(out)/myelin
	python3 -B tests/integration/test_known_urls.py $(out)/myelin $(nats_server) $(newest_nats_server)
	python3 tests/integration/test_cluster.py $(out)/myelin $(if $(newest_nats_server),--newest $(abspath $(newest_nats_server))) \
		$(CLUSTER_ARGUMENTS)
	python3 -B tests/integration/test_rolling.py $(out)/myelin $(if $(newest_nats_server),--newest $(abspath $(newest_nats_server)))
	python3 -B tests/integration/test_reload_cluster.py $(out)/myelin $(if $(newest_nats_server),--newest $(abspath $(newest_nats_server)))

# The simulator of raft/ (docs/raft.md 9): a program of its own, with objects of its own, because it can break rules.
# One thread, so the thread sanitizer has nothing to say about it.
ifneq ($(VARIANT),tsan)
test_targets += sim-check
endif
SEEDS ?= 1000
sim_sources := $(wildcard raft/*.c tests/sim/*.c) $(addprefix core/base/,memory.c check.c clock.c random.c err.c)
sim_objects := $(sim_sources:%.c=$(out)/sim-objects/%.o)
$(sim_objects): $(out)/sim-objects/%.o: %.c $(objects_dir)/flags
	@mkdir -p $(@D)
	$(CC) $(flags) -DMYELIN_RAFT_SABOTAGE=1 -c $< -o $@
$(out)/sim: $(sim_objects)
	$(CC) $(link_flags) $^ -o $@ $(allocator_$(VARIANT))
-include $(sim_objects:.o=.d)
# The same of clustered streaming: machine, store and Raft as the server has them.
sim_streaming_objects := $(patsubst %.c,$(objects_dir)/%.o,$(wildcard tests/sim/streaming/*.c))
$(out)/sim-streaming: $(sim_streaming_objects) $(library)
	$(CC) $(link_flags) $^ -o $@ $(libraries)
-include $(sim_streaming_objects:.o=.d)

.PHONY: sim sim-check
sim: $(out)/sim $(out)/sim-streaming ## simulate SEEDS=n groups of raft nodes, and a tenth of streaming ones, from a random seed on
	$(out)/sim --random --seeds $(SEEDS) $(SIM_ARGUMENTS)
	$(out)/sim-streaming --random --seeds $$(($(SEEDS) / 10))
sim-check: $(out)/sim $(out)/sim-streaming ## simulate fixed and some random seeds; prove that broken rules are noticed
	$(out)/sim --seeds $(if $(filter check,$(VARIANT)),150,25)
	$(out)/sim --random --seeds $(if $(filter check,$(VARIANT)),50,10)
	$(if $(filter check,$(VARIANT)),$(out)/sim --prove 2000)
	$(out)/sim-streaming --seeds $(if $(filter check,$(VARIANT)),80,6)
	$(out)/sim-streaming --random --seeds $(if $(filter check,$(VARIANT)),20,2)
	$(if $(filter check,$(VARIANT)),$(out)/sim-streaming --prove 50)

# NATS Streaming (docs/streaming.md): the checklist against Myelin with both stores, restarts, and kills.
test_targets += streaming-check
STREAMING_KILLS ?= 10
.PHONY: streaming-check
streaming-check: $(out)/myelin $(out)/myelin-bench $(out)/disk-faults.so ## NATS Streaming's checklist, restarts, kills at random moments, disks that fail, load
	python3 -B tests/integration/test_streaming.py $(out)/myelin
	python3 -B tests/integration/test_streaming.py $(out)/myelin --store FILE
	python3 -B tests/integration/test_streaming_restart.py $(out)/myelin --kills $(STREAMING_KILLS)
	python3 -B tests/integration/test_streaming_faults.py $(out)/myelin $(out)/disk-faults.so
	python3 -B tests/integration/test_streaming_load.py $(out)/myelin $(out)/myelin-bench

KILLS ?= 300
.PHONY: crash-check
crash-check: $(out)/myelin ## kill a streaming server under publishers KILLS=n times (300), and read back what was acknowledged
	python3 -B tests/integration/test_streaming_restart.py $(out)/myelin --kills $(KILLS) --kills-only

# Preloaded into a server, it makes the disk fail; without sanitizers, because it comes before their libraries.
$(out)/disk-faults.so: tests/server/disk_faults.c $(objects_dir)/flags
	$(CC) $(common) -O1 -fPIC -shared $< -o $@ -luring

# The NATS server outside of it: Myelin and the nats-server that is installed (docs/streaming.md 10).
test_targets += streaming-outer-check
.PHONY: streaming-outer-check
streaming-outer-check: $(out)/myelin ## NATS Streaming as a client of a NATS server elsewhere
	python3 -B tests/integration/test_streaming_outer.py $(out)/myelin $(nats_server)

# Clustered streaming (docs/streaming-cluster.md 8); the quick cases are part of `make test`.
test_targets += streaming-cluster-quick
.PHONY: streaming-cluster-quick streaming-cluster-check
streaming-cluster-quick: $(out)/myelin
	python3 -B tests/integration/test_streaming_cluster.py $(out)/myelin
	python3 -B tests/integration/test_streaming_groups.py $(out)/myelin
streaming-cluster-check: $(out)/myelin ## clusters of streaming nodes: all cases, and leaders killed 20 times under load
	python3 -B tests/integration/test_streaming_cluster.py $(out)/myelin --long
	python3 -B tests/integration/test_streaming_groups.py $(out)/myelin --long

.PHONY: streaming-nats
streaming_module := github.com/nats-io/nats-streaming-server@v0.25.6
streaming-nats: ## the same cases against nats-streaming-server, built from its Go module
	@[ -x build/nats-streaming/nats-streaming-server ] || GOBIN=$(abspath build/nats-streaming) go install $(streaming_module)
	python3 -B tests/integration/test_streaming.py build/nats-streaming/nats-streaming-server
	python3 -B tests/integration/test_streaming_restart.py build/nats-streaming/nats-streaming-server --kills 0
