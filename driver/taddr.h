/* taddr.h - an address in the target: never a C pointer, never dereferenced here. */
#ifndef DRIVER_TADDR_H
#define DRIVER_TADDR_H

#include <inttypes.h>
#include <stdint.h>

typedef uint64_t taddr;
#define PRItaddr "#" PRIx64

#endif
