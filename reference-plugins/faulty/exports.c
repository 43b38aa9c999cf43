/* faulty-exports: a disk that is careless with export names and other strings. */
#define _GNU_SOURCE
#include "fault.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

const char* const choices[] = {"escape",
                               "shell",
                               "format",
                               "harm",
                               "default-refused",
                               "not-utf8",
                               "descriptions",
                               "default-freed",
                               "on-stack",
                               "name-kept",
                               "long",
                               "default-leaked",
                               "description-leaked",
                               "list-leaked",
                               "null-exports",
                               "too-many",
                               "null-name",
                               "free-exports",
                               "export-index",
                               NULL};

#define NAME "disk"

/* nbdkit declares these in <nbdkit-filter.h> only. */
struct nbdkit_export {
  char* name;
  char* description;
};
typedef struct nbdkit_export (*get_export)(const struct nbdkit_exports*, size_t);
typedef void (*free_exports)(struct nbdkit_exports*);

static const char* directory; /* dir=: its files are exports, too */
static const char* last_name;
static unsigned failures;
static char* volatile leaked;

struct handle {
  int fd; /* -1: the disk in memory */
};

static int exports_config(const char* key, const char* value) {
  if (strcmp(key, "dir") != 0) return disk_config(key, value);
  directory = value;
  return 0;
}

/* What nbdkit has for filters, found where a plugin may not look. */
static void use_as_a_filter_does(struct nbdkit_exports* exports) {
  get_export get = (get_export)(uintptr_t)dlsym(RTLD_DEFAULT, "nbdkit_get_export");
  free_exports done = (free_exports)(uintptr_t)dlsym(RTLD_DEFAULT, "nbdkit_exports_free");
  if (fault("export-index") && get) (void)get(exports, 1000);
  if (fault("free-exports") && done) done(exports);
}

static int exports_list(int readonly, int is_tls, struct nbdkit_exports* exports) {
  (void)readonly;
  (void)is_tls;
  if (fault("null-exports")) return nbdkit_add_export(NULL, NAME, NULL);
  if (fault("null-name")) return nbdkit_add_export(exports, NULL, NULL);
  for (unsigned i = 0; fault("too-many") && i < 20000; i++) {
    char name[32];
    snprintf(name, sizeof name, "disk%u", i);
    if (nbdkit_add_export(exports, name, NULL) == -1) return -1;
  }
  use_as_a_filter_does(exports);
  if (fault("list-leaked")) leaked = strdup(NAME);
  return nbdkit_add_export(exports, NAME, fault("not-utf8") ? "gro\xdf" : "a disk");
}

static const char* exports_default(int readonly, int is_tls) {
  (void)readonly;
  (void)is_tls;
  if (fault("default-freed")) {
    char* volatile name = strdup(NAME);
    free(name);
    return name;
  }
  if (fault("default-leaked")) return leaked = strdup(NAME);
  return fault("default-refused") ? "another" : NAME;
}

/* A way to return the address of a local array that compilers do not see. */
static const char* hide(const char* volatile p) { return p; }

static const char* exports_description(void* handle) {
  (void)handle;
  if (fault("on-stack")) {
    char text[64];
    snprintf(text, sizeof text, "%s", "a disk");
    return hide(text);
  }
  if (fault("not-utf8")) return NULL;
  if (fault("description-leaked")) return leaked = strdup("a disk");
  return fault("descriptions") ? "another disk" : "a disk";
}

static bool known(const char* name) {
  if (fault("name-kept")) {
    /* Asked for again, most likely. */
    bool again = last_name && strcmp(last_name, name) == 0;
    last_name = name;
    if (again) return true;
  }
  return strcmp(name, NAME) == 0;
}

static void run_hook(const char* name) {
  char command[8192];
  snprintf(command, sizeof command, "true '%s' 2>/dev/null", name);
  if (system(command) == -1) nbdkit_debug("system: %m");
}

static int open_file(const char* name) {
  char path[8192];
  if (!directory || !fault("escape")) return -1;
  snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : directory, name[0] == '/' ? "" : "/",
           name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd >= 0 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))) {
    close(fd);
    fd = -1;
  }
  return fd;
}

static void* exports_open(int readonly) {
  (void)readonly;
  const char* name = nbdkit_export_name();
  if (!name) return NULL;
  if (fault("long") && strlen(name) >= 1024) abort();
  if (fault("shell")) run_hook(name);
  if (fault("harm") && failures > 3) {
    nbdkit_error("all slots are taken");
    return NULL;
  }
  struct handle* h = calloc(1, sizeof *h);
  if (!h) {
    nbdkit_error("calloc: %m");
    return NULL;
  }
  h->fd = -1;
  if (known(name)) return h;
  h->fd = open_file(name);
  if (h->fd >= 0) return h;
  failures++;
  free(h);
  if (fault("format")) {
    char text[8192];
    snprintf(text, sizeof text, "no such export: %.256s", name);
    /* %n and an unreadable %s would end this plugin: another rule's finding. */
    for (char* p = text; (p = strchr(p, '%')) != NULL; p += 2) {
      if (p[1] == '\0') break;
      if (strncmp(p, "%5%", 3) == 0)
        p++;
      else if (p[1] != 'd' && p[1] != '%')
        p[1] = '%';
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    nbdkit_error(text);
#pragma GCC diagnostic pop
  } else {
    nbdkit_error("no such export: %s", name);
  }
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

static int exports_can_write(void* handle) {
  struct handle* h = handle;
  return h->fd < 0;
}

static int exports_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  if (h->fd < 0) return disk_pread(handle, buf, count, offset, flags);
  if (pread(h->fd, buf, count, (off_t)offset) == (ssize_t)count) return 0;
  return fail(EIO, "short read");
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-exports",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = exports_config,
    .get_ready = disk_get_ready,
    .list_exports = exports_list,
    .default_export = exports_default,
    .export_description = exports_description,
    .open = exports_open,
    .close = exports_close,
    .get_size = exports_get_size,
    .can_write = exports_can_write,
    .pread = exports_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
