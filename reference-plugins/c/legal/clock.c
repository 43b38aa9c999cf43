/* legal-clock: every word is the time of day it was read at. Its contents are
 * not stable, which the tester has to be told: --unstable-contents.
 *
 * step=SECONDS: the time the server was started at, in steps, as in an image that
 * is made then. Servers that start together often serve the same, but not always.
 */
#define NBDKIT_API_VERSION 2
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static double step; /* 0: every read has its time */
static uint64_t started;

static uint64_t time_of_day(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int clock_config(const char* key, const char* value) {
  char* end;
  if (strcmp(key, "step") != 0) {
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
  }
  step = strtod(value, &end);
  if (end == value || *end != 0 || !(step >= 0.001 && step <= 1000)) {
    nbdkit_error("step=%s: not a number of seconds", value);
    return -1;
  }
  return 0;
}

static int clock_get_ready(void) {
  if (step > 0) started = time_of_day() / (uint64_t)(step * 1e9);
  return 0;
}

static void* clock_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t clock_get_size(void* handle) {
  (void)handle;
  return 1024 * 1024;
}

static int clock_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  uint8_t* to = buf;
  uint64_t word = step > 0 ? started : time_of_day();
  (void)handle;
  (void)flags;
  for (uint32_t i = 0; i < count; i++) to[i] = (uint8_t)(word >> (8 * ((offset + i) % 8)));
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-clock",
    .version = "0.1.0",
    .config = clock_config,
    .config_help = "step=<SECONDS>  The time the server was started at, in steps.",
    .get_ready = clock_get_ready,
    .open = clock_open,
    .get_size = clock_get_size,
    .pread = clock_pread,
};
NBDKIT_REGISTER_PLUGIN(plugin)
