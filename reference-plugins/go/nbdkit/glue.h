/* Between nbdkit's callbacks and Go. */
#ifndef NBDKIT_GO_GLUE_H
#define NBDKIT_GO_GLUE_H

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <stdlib.h>

/* Optional callbacks of the plugin itself, as bits. */
enum {
  GLUE_LOAD = 1 << 0,
  GLUE_UNLOAD = 1 << 1,
  GLUE_CONFIG = 1 << 2,
  GLUE_CONFIG_COMPLETE = 1 << 3,
  GLUE_GET_READY = 1 << 4,
  GLUE_AFTER_FORK = 1 << 5,
  GLUE_CLEANUP = 1 << 6,
  GLUE_PRECONNECT = 1 << 7,
  GLUE_LIST_EXPORTS = 1 << 8,
  GLUE_DEFAULT_EXPORT = 1 << 9,
  GLUE_THREAD_MODEL = 1 << 10,
  GLUE_DUMP_PLUGIN = 1 << 11
};

/* The struct, with the callbacks of a connection and those of `callbacks`. */
struct nbdkit_plugin *glue_plugin(uint32_t callbacks);

/* cgo calls no variadic functions. */
void glue_error(const char *message);
void glue_debug(const char *message);
void glue_field(const char *key, const char *value);

#endif
