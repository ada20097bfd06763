/* record.c - see record.h, agent.h: the two variables that the driver writes. */
#include "stubs/agent.h"
#include "stubs/record.h"

HIJACK_EXPORT struct hijack_record hijack_record = {.version = HIJACK_RECORD_VERSION};
