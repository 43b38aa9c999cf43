/* legal-blocks: a disk with block-size constraints: minimum=, preferred=, maximum=.
 * nbdkit announces them but does not enforce them, so a plugin has to cope with
 * requests that break them. Two ways:
 *
 *   plain    serve them, by reading, changing and writing whole blocks
 *   refuse   fail with EINVAL and change nothing
 */
#include "mode.h"

const char* const choices[] = {"refuse", NULL};

static uint32_t minimum = 512, preferred = 4096, maximum = UINT32_MAX;

static int parse_block(const char* key, const char* value, uint32_t* block) {
  int64_t n = nbdkit_parse_size(value);
  if (n == -1) return -1;
  if (n < 1 || n > UINT32_MAX) {
    nbdkit_error("%s=%s is out of range", key, value);
    return -1;
  }
  *block = (uint32_t)n;
  return 0;
}

static int blocks_config(const char* key, const char* value) {
  if (strcmp(key, "minimum") == 0) return parse_block(key, value, &minimum);
  if (strcmp(key, "preferred") == 0) return parse_block(key, value, &preferred);
  if (strcmp(key, "maximum") == 0) return parse_block(key, value, &maximum);
  return disk_config(key, value);
}

/* nbdkit-plugin(3) ".block_size" says what is possible; refuse the rest here,
 * where the message reaches the user, rather than at every connection. */
static int blocks_config_complete(void) {
  bool powers = (minimum & (minimum - 1)) == 0 && (preferred & (preferred - 1)) == 0;
  bool ranges = minimum <= 65536 && preferred >= 512 && preferred <= 32 * 1024 * 1024;
  bool order = minimum <= preferred && preferred <= maximum;
  if (powers && ranges && order && (maximum == UINT32_MAX || maximum % minimum == 0)) return 0;
  nbdkit_error("block sizes %" PRIu32 ", %" PRIu32 ", %" PRIu32 " are not possible", minimum,
               preferred, maximum);
  return -1;
}

static int blocks_block_size(void* handle, uint32_t* least, uint32_t* best, uint32_t* most) {
  (void)handle;
  *least = minimum;
  *best = preferred;
  *most = maximum;
  return 0;
}

static int check(uint32_t count, uint64_t offset) {
  if (!mode("refuse") || (offset % minimum == 0 && count % minimum == 0)) return 0;
  nbdkit_error("the request is not aligned to %" PRIu32 " bytes", minimum);
  nbdkit_set_error(EINVAL);
  return -1;
}

/* The maximum is about data sent or received, not about zeroing and trimming. */
static int check_data(uint32_t count, uint64_t offset) {
  if (mode("refuse") && count > maximum) {
    nbdkit_error("the request is longer than %" PRIu32 " bytes", maximum);
    nbdkit_set_error(EINVAL);
    return -1;
  }
  return check(count, offset);
}

static int blocks_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (check_data(count, offset) == -1) return -1;
  return disk_pread(handle, buf, count, offset, flags);
}

/* Whole blocks, as a device that knows nothing smaller would have it. The lock
 * is held throughout, or a neighbour's write in the meantime would be undone. */
static int write_blocks(const void* buf, uint32_t count, uint64_t offset) {
  uint64_t begin = round_down(offset, minimum), end = round_up(offset + count, minimum);
  if (end > (uint64_t)disk_size) end = (uint64_t)disk_size;
  uint8_t* bounce = malloc(end - begin);
  if (!bounce) {
    nbdkit_error("malloc: %m");
    nbdkit_set_error(ENOMEM);
    return -1;
  }
  disk_lock();
  memcpy(bounce, disk + begin, end - begin);
  memcpy(bounce + (offset - begin), buf, count);
  memcpy(disk + begin, bounce, end - begin);
  disk_unlock();
  free(bounce);
  return 0;
}

static int blocks_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  (void)handle;
  (void)flags;
  if (check_data(count, offset) == -1) return -1;
  return write_blocks(buf, count, offset);
}

static int blocks_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  if (check(count, offset) == -1) return -1;
  return disk_zero(handle, count, offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "legal-blocks",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = blocks_config,
    .config_complete = blocks_config_complete,
    .config_help =
        DISK_CONFIG_HELP "\nminimum=<SIZE> preferred=<SIZE> maximum=<SIZE>  Block sizes.",
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .block_size = blocks_block_size,
    .can_multi_conn = disk_yes,
    .pread = blocks_pread,
    .pwrite = blocks_pwrite,
    .flush = disk_flush,
    .trim = blocks_zero,
    .zero = blocks_zero,
};
NBDKIT_REGISTER_PLUGIN(plugin)
