/* faulty-blocks: a disk of 4096-byte blocks, at most 64K at once, that gets wrong
 * what does not keep to them.
 */
#include "fault.h"

const char* const choices[] = {"read-down",  "write-down", "write-whole", "zero-whole",
                               "trim-whole", "long-cut",   NULL};

#define LONGEST (16 * PAGE)

static bool whole(uint32_t count, uint64_t offset) { return (count | offset) % PAGE == 0; }

static int blocks_block_size(void* handle, uint32_t* minimum, uint32_t* preferred,
                             uint32_t* maximum) {
  (void)handle;
  *minimum = *preferred = PAGE;
  *maximum = LONGEST;
  return 0;
}

static int blocks_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (fault("read-down")) offset = round_down(offset, PAGE);
  return disk_pread(handle, buf, count, offset, flags);
}

static int blocks_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  if (count > LONGEST && fault("long-cut")) count = LONGEST;
  if (!whole(count, offset)) {
    if (fault("write-down")) offset = round_down(offset, PAGE);
    if (fault("write-whole")) disk_zero(handle, PAGE, round_down(offset + count - 1, PAGE), 0);
  }
  return disk_pwrite(handle, buf, count, offset, flags);
}

static int blocks_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  uint64_t end = offset + count;
  if (fault("zero-whole")) offset = round_down(offset, PAGE), end = round_up(end, PAGE);
  return disk_zero(handle, (uint32_t)(end - offset), offset, flags);
}

static int blocks_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  uint64_t end = offset + count;
  if (fault("trim-whole")) offset = round_down(offset, PAGE), end = round_up(end, PAGE);
  return disk_zero(handle, (uint32_t)(end - offset), offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-blocks",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .block_size = blocks_block_size,
    .can_multi_conn = disk_yes,
    .pread = blocks_pread,
    .pwrite = blocks_pwrite,
    .flush = disk_flush,
    .zero = blocks_zero,
    .trim = blocks_trim,
};
NBDKIT_REGISTER_PLUGIN(plugin)
