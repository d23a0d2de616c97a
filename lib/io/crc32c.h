/* CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as iSCSI (RFC 3720) and ext4 use it: with the processor's
 * instruction where there is one, else by tables. Any thread. */
#ifndef SGAPS_IO_CRC32C_H
#define SGAPS_IO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc: 0, or the result for what stands before. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);

/* The two ways, for the tests. crc32c_instruction returns 0 without touching *crc where the processor has none. */
uint32_t crc32c_tables(uint32_t crc, const void *bytes, size_t n);
int crc32c_instruction(uint32_t *crc, const void *bytes, size_t n);

#endif
