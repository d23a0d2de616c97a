/* What the files of lib/recon tell each other. */
#ifndef SGAPS_RECON_PRIVATE_H
#define SGAPS_RECON_PRIVATE_H

#include "recon/recon.h"

/* Bytes of a device's own memory that were free when the model was there; 0: it computes in the host's. */
size_t recon_device_room(const struct recon *r);

#endif
