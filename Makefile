# gdb-hijack. `make demo` shows it, `make check` tests it; both install the Debian packages they miss.
#
#   all           build/gdb-hijack and its companions (runs from the build tree)
#   demo, check   see README.md          install, uninstall   DESTDIR= prefix=
#   lint          layout rules, clang-format, cppcheck, shellcheck, mandoc
#   check-san     unit tests of the hosted code under ASan and UBSan
#
# These programs come out of it:
#   gdb-hijack       the mutator: gdbmi/ + driver/
#   libhijack.so     in-target code, freestanding: stubs/ + restart/ckpt_* + restart/resume*
#   gdb-blank        driver/blank.c, an empty executable for gdb
#   hijack-shadow    shadow/
#   hijack-starter   restart/starter*, with librestart.so (restart/librestart*, freestanding)

BUILD   ?= build
ARCH    ?= $(shell uname -m)
VERSION := 0.1.0
prefix      ?= /usr/local
bindir      ?= $(prefix)/bin
libexecdir  ?= $(prefix)/libexec/gdb-hijack
mandir      ?= $(prefix)/share/man
docdir      ?= $(prefix)/share/doc/gdb-hijack
# What the programs are compiled with: the same for every prefix, so that one build can be installed anywhere.
libexec_way := $(shell realpath -ms --relative-to='$(bindir)' '$(libexecdir)')

CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
CPPFLAGS += -D_GNU_SOURCE -DHIJACK_VERSION='"$(VERSION)"' -DHIJACK_LIBEXECDIR='"$(libexec_way)"' -I. -Istubs/arch/$(ARCH) -Idriver/arch/$(ARCH) -Ishadow/arch/$(ARCH)
HOSTED   := -std=gnu11 $(WARN) $(CFLAGS) $(SAN)
# In-target code: no libc, no stack protector, no vector registers, nothing imported.
BARE     := -std=gnu11 $(WARN) -O2 -g -ffreestanding -fPIC -fvisibility=hidden -fno-stack-protector \
            -fcf-protection=none -fno-asynchronous-unwind-tables -mgeneral-regs-only -fno-builtin
BARELINK := -shared -nostdlib -Wl,-z,defs -Wl,-z,now -Wl,-Bsymbolic -Wl,--hash-style=both -Wl,--build-id \
            -Wl,-z,noexecstack

PROGRAMS := gdb-hijack gdb-blank libhijack.so hijack-shadow hijack-starter librestart.so
OUT      := $(addprefix $(BUILD)/,$(PROGRAMS))

# --- which source goes where -------------------------------------------------------------------------------------
c_and_s   = $(wildcard $(1).c) $(wildcard $(1).S)
gdbmi_src    := $(wildcard gdbmi/*.c)
driver_src   := $(filter-out driver/blank.c,$(wildcard driver/*.c)) $(wildcard driver/arch/$(ARCH)/*.c) $(wildcard driver/arch/$(ARCH)/*.S)
control_src  := $(wildcard shadow/control*.c)
stubs_src    := $(wildcard stubs/*.c) $(wildcard stubs/arch/$(ARCH)/*.c) $(wildcard stubs/arch/$(ARCH)/*.S)
target_src   := $(stubs_src) $(call c_and_s,restart/ckpt*) $(call c_and_s,restart/resume*) \
                $(call c_and_s,restart/arch/$(ARCH)/ckpt*) $(call c_and_s,restart/arch/$(ARCH)/resume*)
shadow_src   := $(filter-out $(control_src),$(wildcard shadow/*.c)) $(call c_and_s,shadow/arch/$(ARCH)/*) \
                restart/ckpt_fds.c restart/ckpt_fds_leave.c restart/ckpt_fds_pipe.c restart/ckpt_fds_sharing.c restart/ckpt_text.c \
                stubs/lines.c shadow/control_start.c
starter_src  := $(wildcard restart/starter*.c) $(wildcard restart/arch/$(ARCH)/starter*.c) $(control_src)
library_src  := $(call c_and_s,restart/librestart*) $(call c_and_s,restart/arch/$(ARCH)/librestart*) stubs/mem.c

hosted = $(addprefix $(BUILD)/hosted/,$(addsuffix .o,$(1)))
bare   = $(addprefix $(BUILD)/bare/,$(addsuffix .o,$(1)))

# Goals that install packages first do so in a make of their own: nothing is to be built meanwhile.
.PHONY: all demo check check-root check-san lint install uninstall clean packages bench FORCE
all: $(OUT)

$(BUILD)/hosted/%.o: %
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(HOSTED) -MMD -MP -c $< -o $@
$(BUILD)/bare/%.o: %
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BARE) -MMD -MP -c $< -o $@

# Unless bindir or libexecdir is chosen by itself: then the one file that knows is built again.
$(BUILD)/libexec_way: FORCE
	@mkdir -p $(@D)
	@echo '$(libexec_way)' | cmp -s - $@ || echo '$(libexec_way)' >$@
$(BUILD)/hosted/driver/files.c.o: $(BUILD)/libexec_way

$(BUILD)/gdb-hijack: $(call hosted,$(gdbmi_src) $(driver_src) $(control_src))
	$(CC) $(HOSTED) $(LDFLAGS) $^ -o $@ -ldw -lelf -lexpat -lcapstone
# gdb must find no dynamic linker in it, and no memory of the target where it says that its own data is.
$(BUILD)/gdb-blank: $(call bare,driver/blank.c)
	$(CC) -nostdlib -pie -Wl,--no-dynamic-linker -Wl,-Ttext-segment=0x1000 $^ -o $@
$(BUILD)/hijack-shadow: $(call hosted,$(shadow_src))
	$(CC) $(HOSTED) $(LDFLAGS) -static $^ -o $@ -lpthread
$(BUILD)/hijack-starter: $(call hosted,$(starter_src))
	$(CC) $(HOSTED) $(LDFLAGS) $^ -o $@
$(BUILD)/libhijack.so: $(call bare,$(target_src))
	$(CC) $(BARELINK) -Wl,-soname,libhijack.so $^ -o $@
	@if nm -u $@ | grep .; then echo "$@ imports the symbols above; in-target code stands alone" >&2; rm $@; false; fi
$(BUILD)/librestart.so: $(call bare,$(library_src))
	$(CC) $(BARELINK) -Wl,-soname,librestart.so $^ -o $@
	@if nm -u $@ | grep .; then echo "$@ imports the symbols above; in-target code stands alone" >&2; rm $@; false; fi

# --- tests -------------------------------------------------------------------------------------------------------
# Unit tests: tests/unit/test_*.c, one cmocka program each, linked with all hosted code but the mains.
# Target programs: tests/targets/*.c, run under the hijack by tests/*.bats; the ones of musl/ are built with musl-gcc.
mains      := driver/main.c restart/starter.c shadow/shadow.c
unit_src   := $(wildcard tests/unit/test_*.c)
unit_bin   := $(unit_src:tests/unit/%.c=$(BUILD)/tests/%)
unit_lib   := $(call hosted,$(filter-out $(mains),$(sort $(gdbmi_src) $(driver_src) $(starter_src) $(shadow_src))))
targets    := $(patsubst tests/targets/%.c,$(BUILD)/targets/%,$(wildcard tests/targets/*.c)) $(BUILD)/targets/surface $(BUILD)/targets/own_calls.so
musl       := $(patsubst tests/targets/%.c,$(BUILD)/targets/musl/%,$(wildcard tests/targets/*.c)) $(BUILD)/targets/musl/surface

$(BUILD)/tests/unit.a: $(unit_lib)
	@mkdir -p $(@D)
	rm -f $@ && ar rcs $@ $^
$(BUILD)/tests/test_%: tests/unit/test_%.c $(BUILD)/tests/unit.a
	$(CC) $(CPPFLAGS) $(HOSTED) -MMD -MP -MF $@.d $< $(BUILD)/tests/unit.a $(LDFLAGS) -o $@ -lcmocka -ldw -lelf -lexpat -lcapstone
# A shadow that cuts its connections.
$(BUILD)/tests/cutting/hijack-shadow: tests/shadow/cutting.c $(call hosted,$(shadow_src))
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(HOSTED) $(LDFLAGS) -static -Wl,--wrap=recv,--wrap=recvmsg,--wrap=sendmsg,--wrap=close $^ -o $@ -lpthread
surface_src := $(wildcard tests/surface/*.c)
$(BUILD)/targets/surface: $(surface_src) $(wildcard tests/surface/*.h tests/surface/*.def) stubs/calls.def stubs/calls.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -O2 -g $(surface_src) -o $@
# For any libc: it needs none.
$(BUILD)/targets/%.so: tests/targets/library/%.c tests/targets/own_call.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -O2 -g -fPIC -shared -nostdlib $< -o $@
$(BUILD)/targets/%: tests/targets/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -O2 -g -MMD -MP -MF $@.d $< -o $@ -lpthread
# musl-gcc leaves out the kernel's headers with those of the other libc.
$(BUILD)/targets/musl/surface: $(surface_src) $(wildcard tests/surface/*.h tests/surface/*.def) stubs/calls.def stubs/calls.h
	@mkdir -p $(@D)
	musl-gcc $(CPPFLAGS) -idirafter /usr/include -idirafter /usr/include/$(ARCH)-linux-gnu -std=gnu11 -O2 -g $(surface_src) -o $@
$(BUILD)/targets/musl/%: tests/targets/%.c
	@mkdir -p $(@D)
	musl-gcc $(CPPFLAGS) -std=gnu11 -O2 -g $< -o $@

# Files of tests that run at the same time; these do so when nothing else does: they measure time, or what a debugger can do
# to a program only while the machine has time for it (HACKING.md, Known).
JOBS       ?= 2
alone      := $(addprefix tests/,restart-time.bats threads-hijack.bats threads-restart.bats)
check_env  := CMOCKA_MESSAGE_OUTPUT=TAP BATS_TEST_TIMEOUT=600 BUILD=$(abspath $(BUILD))
# What failing tests said stands before the summary (scripts/ShowFailures.pm).
PROVE      := perl -Iscripts -S prove --formatter ShowFailures

.PHONY: tests
tests: all $(unit_bin) $(targets) $(musl) $(BUILD)/tests/cutting/hijack-shadow

check:
	scripts/packages.sh build run demo check
	$(MAKE) tests
	$(check_env) $(PROVE) --timer $(if $(V),-v) $(if $(TESTS),,-j$(JOBS)) $(unit_bin) $(or $(TESTS),$(filter-out $(alone),$(wildcard tests/*.bats)))
	$(if $(TESTS),,$(check_env) $(PROVE) --timer $(if $(V),-v) $(alone))
	$(if $(TESTS),,[ "$$(id -u)" != 0 ] || $(MAKE) check-root)
# The home path of root's programs: tests tagged as-root, a few rounds of each. Without root there is nothing to do.
check-root:
	WHO=root ROUNDS=1 MOMENTS=1 $(check_env) $(PROVE) --timer $(if $(V),-v) -j$(JOBS) \
	    -e 'bats --filter-tags as-root' $(shell grep -l 'tags=as-root' tests/*.bats)
demo:
	scripts/packages.sh build run demo
	$(MAKE) all
	BUILD=$(abspath $(BUILD)) scripts/demo.sh
packages:
	scripts/packages.sh build run demo check
check-san:
	scripts/packages.sh build run check
	$(MAKE) BUILD=$(BUILD)-san SAN='-fsanitize=address,undefined -fno-sanitize-recover=all' \
	    $(unit_bin:$(BUILD)/%=$(BUILD)-san/%) $(BUILD)-san/targets/jumps $(BUILD)-san/targets/musl/jumps
	CMOCKA_MESSAGE_OUTPUT=TAP $(PROVE) $(unit_bin:$(BUILD)/%=$(BUILD)-san/%)
lint:
	scripts/packages.sh build check
	scripts/lint.sh
bench: all
	scripts/bench.sh
clean:
	rm -rf $(BUILD) $(BUILD)-san

# --- install -----------------------------------------------------------------------------------------------------
man1 := $(wildcard driver/*.1)
install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(libexecdir) $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(docdir)
	install $(BUILD)/gdb-hijack $(DESTDIR)$(bindir)/
	install $(BUILD)/hijack-shadow $(BUILD)/hijack-starter $(DESTDIR)$(libexecdir)/
	install -m 644 $(BUILD)/libhijack.so $(BUILD)/librestart.so $(BUILD)/gdb-blank $(DESTDIR)$(libexecdir)/
	install -m 644 $(man1) $(DESTDIR)$(mandir)/man1/
	install -m 644 README.md ARCHITECTURE.md LICENSE $(DESTDIR)$(docdir)/
uninstall:
	rm -f $(DESTDIR)$(bindir)/gdb-hijack $(addprefix $(DESTDIR)$(mandir)/man1/,$(notdir $(man1)))
	rm -rf $(DESTDIR)$(libexecdir) $(DESTDIR)$(docdir)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
