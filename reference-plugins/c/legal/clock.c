/* legal-clock: every word is the time of day it was read at. Its contents are
 * not stable, which the tester has to be told: --unstable-contents.
 */
#define NBDKIT_API_VERSION 2
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

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
  struct timespec now;
  (void)handle;
  (void)flags;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t word = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
  for (uint32_t i = 0; i < count; i++) to[i] = (uint8_t)(word >> (8 * ((offset + i) % 8)));
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "legal-clock",
    .version = "0.1.0",
    .open = clock_open,
    .get_size = clock_get_size,
    .pread = clock_pread,
};
NBDKIT_REGISTER_PLUGIN(plugin)
