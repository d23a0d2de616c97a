#include "live/page.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

/* The Makefile knows that this object depends on the page; the compiler runs at the top of the tree. */
__asm__(".pushsection .rodata\n"
        ".global sgaps_page, sgaps_page_end\n"
        "sgaps_page: .incbin \"share/live.html\"\n"
        "sgaps_page_end: .byte 0\n"
        ".popsection\n");
extern const char sgaps_page[], sgaps_page_end[];

void page_body(struct text *out)
{
    text_bytes(out, sgaps_page, (size_t)(sgaps_page_end - sgaps_page));
}

/* " 'sha256-...'" of what stands between the first <tag> and its end. */
static void add_hash(struct text *out, const char *open, const char *close)
{
    const char *from = strstr(sgaps_page, open);
    const char *to = from ? strstr(from, close) : NULL;
    if (!to)
        return;
    from += strlen(open);
    unsigned char hash[SHA256_DIGEST_LENGTH], base64[4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1];
    SHA256((const unsigned char *)from, (size_t)(to - from), hash);
    EVP_EncodeBlock(base64, hash, sizeof hash);
    text_printf(out, " 'sha256-%s'", (const char *)base64);
}

void page_policy(struct text *out)
{
    text_add(out, "default-src 'none'; connect-src 'self'; img-src blob: data:; base-uri 'none'; form-action "
                  "'none'; frame-ancestors 'none'; script-src");
    add_hash(out, "<script>", "</script>");
    text_add(out, "; style-src");
    add_hash(out, "<style>", "</style>");
}
