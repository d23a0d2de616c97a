# make install PREFIX=/usr/local DESTDIR=; uninstall removes exactly what install wrote: both follow one plan, lines of
# "mode, what, where to". dist packs the tracked files, the same bytes each time.
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
DOCDIR     ?= $(DATADIR)/doc/sgaps
BASHDIR    ?= $(DATADIR)/bash-completion/completions
ZSHDIR     ?= $(DATADIR)/zsh/site-functions
FISHDIR    ?= $(DATADIR)/fish/vendor_completions.d
INSTALL    ?= install
# Where the tools look for the cuda backend: ../lib/sgaps from their own folder (lib/op/cuda_library.c).
CUDADIR    ?= $(PREFIX)/lib/sgaps

man_pages = $(sort $(wildcard man/*.[157]))
# A header that says it is private to its room stays at home.
headers   = $(patsubst lib/%,%,$(filter-out $(shell grep -lir --include='*.h' '^/\* .*private to\|^ \* .*private to' lib),$(shell find lib -name '*.h' | LC_ALL=C sort)))
documents = README.md SPEED.md LICENSE $(shell find doc examples contrib -type f ! -path '*/__pycache__/*' ! -perm -u+x | LC_ALL=C sort)
example_scripts = $(shell find examples contrib -type f ! -path '*/__pycache__/*' -perm -u+x | LC_ALL=C sort)

plan = $(foreach t,$(tools),'755 $(bin)/sgaps-$t $(BINDIR)/sgaps-$t') \
       $(foreach p,$(man_pages),'644 $p $(MANDIR)/man$(subst .,,$(suffix $p))/$(notdir $p)') \
       $(foreach t,$(tools),'644 $(completions)/bash/sgaps-$t $(BASHDIR)/sgaps-$t') \
       $(foreach t,$(tools),'644 $(completions)/fish/sgaps-$t.fish $(FISHDIR)/sgaps-$t.fish') \
       '644 $(completions)/zsh/_sgaps $(ZSHDIR)/_sgaps' \
       '644 $(archive) $(LIBDIR)/libsgaps.a' \
       $(if $(NVCC),'644 $(cuda_library) $(CUDADIR)/libsgaps-cuda.so') \
       '644 $(O)/sgaps.pc $(LIBDIR)/pkgconfig/sgaps.pc' \
       $(foreach h,$(headers),'644 lib/$h $(INCLUDEDIR)/sgaps/$h') \
       $(foreach f,$(documents),'644 $f $(DOCDIR)/$f') \
       $(foreach f,$(example_scripts),'755 $f $(DOCDIR)/$f') \
       '644 tests/reference/spt_torch.py $(DOCDIR)/examples/torch/spt_torch.py'

.PHONY: install uninstall dist completions doc
install: all completions $(O)/sgaps.pc
	@printf '%s\n' $(plan) | while read -r mode from to; do \
	    $(INSTALL) -D -m "$$mode" "$$from" "$(DESTDIR)$$to" || exit 1; \
	done
	@echo "installed: $(words $(tools)) tools in $(DESTDIR)$(BINDIR), $(words $(man_pages)) pages, the library and completions below $(DESTDIR)$(PREFIX)"

# Folders that carry the project's name go too, once they are empty.
uninstall:
	@printf '%s\n' $(plan) | while read -r mode from to; do rm -f "$(DESTDIR)$$to"; done
	@rm -f "$(DESTDIR)$(CUDADIR)/libsgaps-cuda.so" # also where the nvcc is gone that it came from
	@for folder in "$(DESTDIR)$(INCLUDEDIR)/sgaps" "$(DESTDIR)$(DOCDIR)" "$(DESTDIR)$(CUDADIR)"; do \
	    if [ -d "$$folder" ]; then find "$$folder" -depth -type d -empty -delete; fi; \
	done

completions := $(O)/completions
completions: $(completions)/zsh/_sgaps
$(completions)/zsh/_sgaps: mk/completions.pl man/sgaps-config.5 $(tool_bin)
	@mkdir -p $(completions)
	$(if $(V),,@)perl mk/completions.pl $(bin) $(completions) $(tools)

$(O)/sgaps.pc: mk/sgaps.pc.in Makefile mk/install.mk mk/build.mk FORCE
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@NEED@|$(need)|' -e 's|@LIBS@|$(filter-out $(pkg_libs),$(libs))|' mk/sgaps.pc.in >$@
.PHONY: FORCE
FORCE:

# The pages as HTML, with links between them, in $(BUILD)/doc.
doc:
	@sh mk/html.sh $(BUILD)/doc $(man_pages)

DIST ?= sgaps-$(VERSION).tar.gz
dist:
	@git archive --format=tar --prefix=sgaps-$(VERSION)/ HEAD | gzip -n -9 >'$(DIST)'
	@echo '$(DIST)'
