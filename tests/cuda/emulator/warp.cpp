/* Memory of a block, copies into it, and the matrix instructions. */
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "emulator.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace emulator
{
/* --- shared memory --- */

static const size_t GUARD = 4096;
enum { POISON = 0xff };

static struct {
    char *memory; /* GUARD + SHARED_MOST + GUARD */
    size_t bytes; /* of this launch */
    char *fixed;  /* __shared__ arrays of all kernels, where they can be found */
    size_t fixed_bytes;
    size_t low, high; /* of those, what this launch's first block wrote lies between; and how much it was */
    size_t written;
    bool first; /* no block of this launch has run */
    char poison[GUARD];
} shared;

char *dynamic_shared()
{
    return shared.memory + GUARD;
}

/* The thread-local data of this library is there once some of it has been used. */
static __thread volatile char touched;

/* Without ASan __shared__ is thread-local: this library's block of that. */
static int find_fixed(struct dl_phdr_info *info, size_t, void *)
{
    bool ours = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) &p = info->dlpi_phdr[i];
        const char *low = (const char *)info->dlpi_addr + p.p_vaddr;
        ours |=
            p.p_type == PT_LOAD && (const char *)&shared >= low && (const char *)&shared < low + p.p_memsz;
    }
    for (int i = 0; ours && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) &p = info->dlpi_phdr[i];
#ifdef __SANITIZE_ADDRESS__
        /* An ordinary static array: somewhere in what can be written. */
        if (p.p_type == PT_LOAD && p.p_flags & PF_W) {
            shared.fixed = (char *)info->dlpi_addr + p.p_vaddr;
            shared.fixed_bytes = p.p_memsz;
        }
#else
        if (p.p_type == PT_TLS && info->dlpi_tls_data) {
            shared.fixed = (char *)info->dlpi_tls_data;
            shared.fixed_bytes = p.p_memsz;
        }
#endif
    }
    return ours;
}

void shared_begin(size_t bytes)
{
    if (!shared.memory) {
        void *p;
        if (posix_memalign(&p, 128, GUARD + SHARED_MOST + GUARD)) {
            perror("CUDA emulator");
            abort();
        }
        shared.memory = (char *)p;
    }
    touched = 1;
    shared.fixed = NULL;
    shared.fixed_bytes = 0;
    dl_iterate_phdr(find_fixed, NULL);
    shared.bytes = bytes;
    shared.first = true;
    shared.written = 0;
#ifdef __SANITIZE_ADDRESS__
    ASAN_POISON_MEMORY_REGION(shared.memory, GUARD + SHARED_MOST + GUARD);
    ASAN_UNPOISON_MEMORY_REGION(dynamic_shared(), bytes);
#else
    memset(shared.poison, POISON, GUARD);
    memset(shared.memory, POISON, GUARD);
    memset(dynamic_shared() + bytes, POISON, GUARD);
    memset(shared.fixed, POISON, shared.fixed_bytes);
#endif
}

#ifndef __SANITIZE_ADDRESS__
/* The kernel's own among the arrays of all kernels is what its first block wrote. */
static void find_written()
{
    const char *end = shared.fixed + shared.fixed_bytes, *p = shared.fixed;
    for (; p + GUARD <= end && !memcmp(p, shared.poison, GUARD); p += GUARD)
        ;
    shared.low = (size_t)(p - shared.fixed);
    for (p = end; p - GUARD >= shared.fixed + shared.low && !memcmp(p - GUARD, shared.poison, GUARD);
         p -= GUARD)
        ;
    shared.high = (size_t)(p - shared.fixed);
    for (size_t i = shared.low; i < shared.high; i++)
        shared.written += (unsigned char)shared.fixed[i] != POISON;
}
#endif

void shared_poison()
{
    memset(dynamic_shared(), POISON, shared.bytes);
#ifndef __SANITIZE_ADDRESS__
    if (!shared.first)
        memset(shared.fixed + shared.low, POISON, shared.high - shared.low);
#endif
}

bool shared_intact()
{
#ifndef __SANITIZE_ADDRESS__
    if (shared.first)
        find_written();
    shared.first = false;
    return !memcmp(shared.memory, shared.poison, GUARD) &&
           !memcmp(dynamic_shared() + shared.bytes, shared.poison, GUARD);
#else
    return true;
#endif
}

size_t shared_used()
{
    return shared.bytes + shared.written;
}

bool shared_holds(const void *p, size_t n)
{
    const char *c = (const char *)p, *low = dynamic_shared();
    return (c >= low && c + n <= low + shared.bytes) ||
           (c >= shared.fixed && c + n <= shared.fixed + shared.fixed_bytes);
}

/* --- cp.async --- */

struct copy {
    void *to;
    const void *from;
    bool valid;
    unsigned group;
};

static struct {
    order how;
    uint64_t random;
    struct {
        std::vector<copy> on_the_way;
        unsigned groups; /* closed so far */
    } of[MOST_THREADS];
} copies;

void copies_forget(unsigned threads, order how)
{
    copies.how = how;
    copies.random = how.seed * 0x9E3779B97F4A7C15u | 1;
    for (unsigned i = 0; i < threads; i++) {
        copies.of[i].on_the_way.clear();
        copies.of[i].groups = 0;
    }
}

static void carry_out(const copy &c)
{
    if (c.valid)
        memcpy(c.to, c.from, 16);
    else
        memset(c.to, 0, 16);
}

/* The device may write at once, or not before it must. */
static bool at_once()
{
    copies.random = copies.random * 6364136223846793005u + 1442695040888963407u;
    return copies.how.kind == order::REVERSED || (copies.how.kind == order::RANDOM && copies.random >> 63);
}

void copy_async(void *to, const void *from, bool valid, const char *file, int line)
{
    if ((uintptr_t)to % 16 || (valid && (uintptr_t)from % 16))
        fail(file, line, "copy_async: %p or %p is not 16-byte aligned", to, from);
    if (!shared_holds(to, 16))
        fail(file, line, "copy_async: %p is not in shared memory", to);
    copy c = {to, from, valid, copies.of[current_thread()].groups};
    if (at_once()) {
        carry_out(c);
        return;
    }
    if (valid) { /* ASan speaks up here, not when it is waited for */
        volatile char first = *(const char *)from, last = ((const char *)from)[15];
        (void)first;
        (void)last;
    }
    memset(to, POISON, 16);
    copies.of[current_thread()].on_the_way.push_back(c);
}

void copy_commit()
{
    copies.of[current_thread()].groups++;
}

void copy_wait(int groups)
{
    auto &own = copies.of[current_thread()];
    size_t kept = 0;
    for (const copy &c : own.on_the_way)
        if (c.group + (unsigned)groups < own.groups)
            carry_out(c);
        else
            own.on_the_way[kept++] = c;
    own.on_the_way.resize(kept);
}

/* --- matrices --- */

static float low_half(uint32_t x)
{
    return __uint_as_float(x << 16);
}

static float high_half(uint32_t x)
{
    return __uint_as_float(x & 0xffff0000u);
}

void mma_of(operand lane[LANES])
{
    typedef float four __attribute__((vector_size(4 * sizeof(float))));
    union {
        four half[2];
        float at[8];
    } B[16], D[16];
    float A[16][16];
    for (int l = 0; l < LANES; l++) {
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 4; i++) {
            uint32_t a = lane[l].a[i];
            A[g + i % 2 * 8][2 * t + i / 2 * 8] = low_half(a);
            A[g + i % 2 * 8][2 * t + i / 2 * 8 + 1] = high_half(a);
            D[g + i / 2 * 8].at[2 * t + i % 2] = lane[l].d[i];
        }
        for (int i = 0; i < 2; i++) {
            uint32_t b = lane[l].b[i];
            B[2 * t + i * 8].at[g] = low_half(b);
            B[2 * t + i * 8 + 1].at[g] = high_half(b);
        }
    }
    for (int m = 0; m < 16; m++) {
        four low = D[m].half[0], high = D[m].half[1];
        for (int k = 0; k < 16; k++) {
            low += A[m][k] * B[k].half[0];
            high += A[m][k] * B[k].half[1];
        }
        D[m].half[0] = low;
        D[m].half[1] = high;
    }
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < 4; i++)
            lane[l].d[i] = D[l / 4 + i / 2 * 8].at[l % 4 * 2 + i % 2];
}

void matrices_of(operand lane[LANES], bool transposed)
{
    uint16_t m[4][8][8];
    for (int l = 0; l < LANES; l++)
        memcpy(m[l / 8][l % 8], lane[l].row, 16);
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < 4; i++) {
            int r = l / 4, c = l % 4 * 2;
            uint32_t low = transposed ? m[i][c][r] : m[i][r][c];
            uint32_t high = transposed ? m[i][c + 1][r] : m[i][r][c + 1];
            lane[l].f[i] = low | high << 16;
        }
}
} // namespace emulator
