/* faulty-space: a disk that gets zeroing and trimming wrong. */
#include "fault.h"

const char* const choices[] = {"zero-nothing",    "zero-ones",     "zero-outward",
                               "zero-inward",     "zero-one-more", "zero-one-less",
                               "zero-may-trim",   "zero-4m",       "zero-2g",
                               "zero-stale-read", "zero-fua",      "fast-errno",
                               "fast-outside",    "fast-nothing",  "declined-outside",
                               "declined-errno",  "trim-outward",  "trim-one-more",
                               "trim-misplaced",  "trim-2g",       "trim-error",
                               "trim-others",     "two",           NULL};

#define MIB (UINT64_C(1024) * 1024)

static struct {
  bool valid;
  uint64_t offset;
  uint8_t bytes[512];
} last_read;

#define SECTION (UINT64_C(64) * 1024)

static uint64_t trimmed, trimmed_end; /* the last trim, until something is written */

static int space_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  uint64_t half = (uint64_t)disk_size / 2;
  if (fault("trim-others") && trimmed <= offset && offset + count <= trimmed_end &&
      (offset + count <= half || offset >= half)) {
    memcpy(buf, disk + (offset < half ? offset + half : offset - half), count);
    return 0;
  }
  if (!fault("zero-stale-read") || count != sizeof last_read.bytes)
    return disk_pread(handle, buf, count, offset, flags);
  if (!last_read.valid || last_read.offset != offset) memcpy(last_read.bytes, disk + offset, count);
  last_read.valid = true;
  last_read.offset = offset;
  memcpy(buf, last_read.bytes, count);
  return 0;
}

static int space_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  last_read.valid = false; /* the write path remembers what .zero forgets */
  if (offset < trimmed_end && trimmed < offset + count) trimmed_end = 0;
  /* The other fault of two: what goes beyond a section is lost. */
  if (fault("two") && offset % SECTION + count > SECTION)
    count = (uint32_t)(SECTION - offset % SECTION);
  return disk_pwrite(handle, buf, count, offset, flags);
}

/* What clearing [offset, offset+count) with a 32-bit signed length would clear. */
static void clear_with_int(uint32_t count, uint64_t offset) {
  int64_t n = (int32_t)count;
  if (n > 0) disk_clear(offset, offset + (uint64_t)n);
}

static int space_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  uint64_t end = offset + count;
  (void)handle;
  if (offset < trimmed_end && trimmed < end) trimmed_end = 0;
  if (flags & NBDKIT_FLAG_FAST_ZERO) {
    if (fault("fast-errno")) return fail(EINVAL, "cannot zero fast");
    if (fault("fast-nothing")) return 0;
    if (fault("fast-outside")) {
      disk_clear(round_down(offset, PAGE), round_up(end, PAGE));
      nbdkit_set_error(ENOTSUP);
      return -1;
    }
  }
  if (fault("declined-errno")) return fail(EINVAL, "zeroing is not supported");
  if (fault("declined-outside")) {
    disk_clear(round_down(offset, PAGE), round_up(end, PAGE));
    nbdkit_set_error(EOPNOTSUPP);
    return -1;
  }
  if (fault("zero-nothing") || fault("two")) return 0;
  if (fault("zero-may-trim") && (flags & NBDKIT_FLAG_MAY_TRIM)) return 0;
  if (fault("zero-fua") && (flags & NBDKIT_FLAG_FUA)) return 0;
  if (fault("zero-ones") && count <= MIB) {
    memset(disk + offset, 0xff, count);
    return 0;
  }
  if (fault("zero-2g")) {
    clear_with_int(count, offset);
    return 0;
  }
  if (fault("zero-4m") && count > 4 * MIB) end = offset + 4 * MIB;
  if (fault("zero-outward")) {
    offset = round_down(offset, PAGE);
    end = round_up(end, PAGE);
  }
  if (fault("zero-inward")) {
    offset = round_up(offset, PAGE);
    end = round_down(end, PAGE);
  }
  if (fault("zero-one-more")) end++;
  if (fault("zero-one-less")) end--;
  if (!fault("zero-stale-read")) last_read.valid = false;
  disk_clear(offset, end);
  return 0;
}

static int space_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  uint64_t end = offset + count;
  (void)handle;
  (void)flags;
  last_read.valid = false;
  if (fault("trim-error")) return fail(EOPNOTSUPP, "trimming is not supported");
  if (fault("trim-2g")) { /* a length of its own making: one page too far from 2 GiB on */
    disk_clear(offset, count > INT32_MAX ? end + PAGE : end);
    return 0;
  }
  if (fault("trim-outward")) {
    offset = round_down(offset, PAGE);
    end = round_up(end, PAGE);
  }
  if (fault("trim-one-more")) end++;
  if (fault("trim-misplaced")) { /* takes the number of a 4096-byte block for one of 512 */
    offset /= 8;
    end /= 8;
  }
  if (fault("trim-others")) { /* the block is the next owner's, but still in the map */
    trimmed = offset;
    trimmed_end = end;
  }
  disk_clear(offset, end);
  return 0;
}

static int space_can_fua(void* handle) {
  (void)handle;
  return NBDKIT_FUA_NATIVE;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-space",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_fast_zero = disk_yes,
    .can_fua = space_can_fua,
    .can_multi_conn = disk_yes,
    .pread = space_pread,
    .pwrite = space_pwrite,
    .flush = disk_flush,
    .trim = space_trim,
    .zero = space_zero,
};
NBDKIT_REGISTER_PLUGIN(plugin)
