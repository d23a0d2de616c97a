# make install PREFIX=/usr/local DESTDIR=; uninstall removes exactly what install wrote; dist packs the tracked files.
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
INSTALL ?= install
man_pages = $(wildcard man/*.[157])

.PHONY: install uninstall dist
install: all
	$(INSTALL) -d $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 755 $(tool_bin) $(DESTDIR)$(BINDIR)
	for page in $(man_pages); do \
	    $(INSTALL) -d $(DESTDIR)$(MANDIR)/man$${page##*.} && \
	    $(INSTALL) -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.} || exit 1; \
	done

uninstall:
	rm -f $(tools:%=$(DESTDIR)$(BINDIR)/sgaps-%)
	for page in $(man_pages); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done

dist:
	git archive --format=tar.gz --prefix=sgaps-$(VERSION)/ -o sgaps-$(VERSION).tar.gz HEAD
