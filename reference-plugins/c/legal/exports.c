/* legal-exports: the files of a directory, or one disk under every name. */
#define _GNU_SOURCE /* O_PATH */
#include "mode.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

const char* const choices[] = {"any", "none", "template", NULL};

static int directory = -1;
static char* newest; /* our own copy of the name that was asked for last */

struct handle {
  int fd; /* -1: the disk in memory */
};

static int exports_config(const char* key, const char* value) {
  if (strcmp(key, "dir") != 0) return disk_config(key, value);
  if (directory >= 0) close(directory);
  directory = open(value, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) return 0;
  nbdkit_error("%s: %m", value);
  return -1;
}

static int exports_config_complete(void) {
  if (directory >= 0) return 0;
  nbdkit_error("dir= is required");
  return -1;
}

static void exports_unload(void) {
  if (directory >= 0) close(directory);
  free(newest);
  disk_unload();
}

static int exports_list(int readonly, int is_tls, struct nbdkit_exports* exports) {
  (void)readonly;
  (void)is_tls;
  return nbdkit_add_export(exports, "disk", chosen("none") ? NULL : "%d disk");
}

static const char* exports_default(int readonly, int is_tls) {
  (void)readonly;
  (void)is_tls;
  return chosen("none") ? NULL : nbdkit_printf_intern("%s", "disk");
}

static const char* exports_description(void* handle) {
  (void)handle;
  return chosen("none") ? NULL : nbdkit_strdup_intern("%d disk");
}

static bool plain(const char* name) { return name[0] && name[0] != '.' && !strchr(name, '/'); }

/* In a template %% stands for %, and any other % for itself. */
static void fill_in(char* name) {
  char* to = name;
  for (const char* p = name; *p; p += p[0] == '%' && p[1] == '%' ? 2 : 1) *to++ = *p;
  *to = '\0';
}

static void* exports_open(int readonly) {
  (void)readonly;
  const char* name = nbdkit_export_name();
  if (!name) return NULL;
  struct handle* h = calloc(1, sizeof *h);
  char* copy = strdup(name);
  if (!h || !copy) {
    nbdkit_error("no memory");
    goto failed;
  }
  if (chosen("template")) fill_in(copy);
  disk_lock();
  free(newest);
  newest = copy;
  disk_unlock();
  copy = NULL;
  h->fd = -1;
  if (chosen("any")) return h;
  struct stat st;
  if (plain(name)) h->fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (h->fd >= 0 && fstat(h->fd, &st) == 0 && S_ISREG(st.st_mode)) return h;
  if (h->fd >= 0) close(h->fd);
  if (chosen("template")) {
    disk_lock(); /* another open may take the place of it */
    nbdkit_error("the template makes %s, and there is no such export", newest);
    disk_unlock();
  } else {
    nbdkit_error("there is no export %s", name);
  }

failed:
  free(h);
  free(copy);
  return NULL;
}

static void exports_close(void* handle) {
  struct handle* h = handle;
  if (h->fd >= 0) close(h->fd);
  free(h);
}

static int64_t exports_get_size(void* handle) {
  struct handle* h = handle;
  return h->fd >= 0 ? lseek(h->fd, 0, SEEK_END) : disk_size;
}

static int exports_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  if (h->fd < 0) return disk_pread(handle, buf, count, offset, flags);
  if (pread(h->fd, buf, count, (off_t)offset) == (ssize_t)count) return 0;
  return fail(EIO, "the file cannot be read, or has become shorter");
}

static struct nbdkit_plugin plugin = {
    .name = "legal-exports",
    .version = "0.1.0",
    .unload = exports_unload,
    .config = exports_config,
    .config_complete = exports_config_complete,
    .get_ready = disk_get_ready,
    .list_exports = exports_list,
    .default_export = exports_default,
    .export_description = exports_description,
    .open = exports_open,
    .close = exports_close,
    .get_size = exports_get_size,
    .pread = exports_pread,
};
NBDKIT_REGISTER_PLUGIN(plugin)
