/* Asks the server everything the API can answer and writes the answers down,
 * one line each, to the file named by out=.  The probe test runs it in nbdkit
 * and in nbdcheck and compares the two files.
 *
 * Each callback writes a "== name" line first, so that answers compare by where
 * they were asked.  Addresses, pids and the like are masked here.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "inputs.h"

/* One connection after the other, so that the answers come in one order. */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS

static FILE* out;
static const char* scratch; /* a directory for password files */

static void print_text(const char* text) {
  if (text == NULL) {
    fputs("NULL", out);
    return;
  }
  fputc('"', out);
  for (const unsigned char* p = (const unsigned char*)text; *p != 0; p++) {
    if (*p < 0x20 || *p >= 0x7f || *p == '"' || *p == '\\')
      fprintf(out, "\\x%02x", *p);
    else
      fputc(*p, out);
  }
  fputc('"', out);
}

/* Long strings are told by their length. */
static void answer_text(const char* what, const char* input, const char* text) {
  fprintf(out, "%s ", what);
  print_text(input);
  fputs(" = ", out);
  if (text != NULL && strlen(text) > 200)
    fprintf(out, "%zu bytes", strlen(text));
  else
    print_text(text);
  fputc('\n', out);
}

static void answer_number(const char* what, const char* input, long long number, int error) {
  fprintf(out, "%s ", what);
  print_text(input);
  fprintf(out, " = %lld errno %d\n", number, error);
}

static void begin(const char* callback) { fprintf(out, "== %s\n", callback); }

#define UNTOUCHED 77

/* The value of *r matters as much as the result: it is untouched on error. */
#define ASK_INTEGER(type, function, input)                                                     \
  do {                                                                                         \
    type value = UNTOUCHED;                                                                    \
    errno = 0;                                                                                 \
    int result = function("parameter", input, &value);                                         \
    int error = errno;                                                                         \
    char text[64];                                                                             \
    snprintf(text, sizeof text, "%d -> %" PRIxMAX, result, (uintmax_t)value);                  \
    fprintf(out, "%s ", #function);                                                            \
    print_text(input);                                                                         \
    fprintf(out, " = %s errno %d null %d\n", text, error, function("parameter", input, NULL)); \
  } while (0)

static void ask_parsers(void) {
  for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
    const char* input = inputs[i];
    errno = 0;
    int64_t size = nbdkit_parse_size(input);
    answer_number("parse_size", input, size, errno);
    errno = 0;
    int truth = nbdkit_parse_bool(input);
    answer_number("parse_bool", input, truth, errno);
    ASK_INTEGER(int, nbdkit_parse_int, input);
    ASK_INTEGER(unsigned, nbdkit_parse_unsigned, input);
    ASK_INTEGER(int8_t, nbdkit_parse_int8_t, input);
    ASK_INTEGER(uint8_t, nbdkit_parse_uint8_t, input);
    ASK_INTEGER(int16_t, nbdkit_parse_int16_t, input);
    ASK_INTEGER(uint16_t, nbdkit_parse_uint16_t, input);
    ASK_INTEGER(int32_t, nbdkit_parse_int32_t, input);
    ASK_INTEGER(uint32_t, nbdkit_parse_uint32_t, input);
    ASK_INTEGER(int64_t, nbdkit_parse_int64_t, input);
    ASK_INTEGER(uint64_t, nbdkit_parse_uint64_t, input);
  }
}

static void ask_password(const char* value) {
  char dummy;
  char* password = &dummy;
  int result = nbdkit_read_password(value, &password);
  fprintf(out, "read_password ");
  print_text(value);
  fprintf(out, " = %d ", result);
  /* After a failed read nbdkit 1.32 leaves a pointer to freed memory here. */
  if (result == 0) {
    print_text(password);
    free(password);
  }
  fputc('\n', out);
}

static void ask_passwords(void) {
  static const char* const contents[] = {"",           "\n",   "\n\n",    "abc",   "abc\n",
                                         "abc\ndef\n", "\r\n", "abc\r\n", " abc ", "\tabc\t\n\n"};
  static const char* const literals[] = {"",   "secret", " x", "=",  "a\nb",          "\\",  "-x",
                                         "--", "-0",     "-1", "-2", "-01",           "-0x", "--7",
                                         "-",  "-54321", "+",  "+/", "+/no/such/file"};
  char path[4096];
  char value[4100];
  snprintf(path, sizeof path, "%s/password", scratch);
  for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, contents[i], strlen(contents[i])) < 0) abort();
    lseek(fd, 0, SEEK_SET);
    /* The descriptor's number may differ; 700 is free in both. */
    int known = dup2(fd, 700);
    close(fd);
    ask_password("-700");
    fprintf(out, "descriptor left open = %d\n", fcntl(known, F_GETFD) != -1);

    char* password = NULL;
    snprintf(value, sizeof value, "+%s", path);
    int result = nbdkit_read_password(value, &password);
    fprintf(out, "read_password file %zu = %d ", i, result);
    print_text(password);
    fputc('\n', out);
    free(password);
  }
  unlink(path);
  for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) ask_password(literals[i]);
}

static void ask_paths(void) {
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
    char* absolute = nbdkit_absolute_path(paths[i]);
    answer_text("absolute_path", paths[i], absolute);
    free(absolute);
    char* real = nbdkit_realpath(paths[i]);
    answer_text("realpath", paths[i], real);
    free(real);
  }
}

static void ask_interning(void) {
  const char* text = "twelve bytes";
  answer_text("strdup_intern", text, nbdkit_strdup_intern(text));
  answer_text("strdup_intern", "", nbdkit_strdup_intern(""));
  fprintf(out, "strdup_intern copies = %d\n", nbdkit_strdup_intern(text) != text);
  for (size_t n = 0; n < 15; n++) {
    fprintf(out, "strndup_intern %zu ", n);
    answer_text("", text, nbdkit_strndup_intern(text, n));
  }
  answer_text("printf_intern", "%d", nbdkit_printf_intern("%d-%s-%%", 42, "x"));
  answer_text("printf_intern", "long", nbdkit_printf_intern("%5000d", 1));
  errno = 0;
  const char* none = nbdkit_strdup_intern(NULL);
  int error = errno;
  answer_number("strdup_intern", NULL, none == NULL, error);
  errno = 0;
  none = nbdkit_strndup_intern(NULL, 5);
  error = errno;
  answer_number("strndup_intern", NULL, none == NULL, error);
}

/* What depends on the callback it is asked in. */
static void ask_context(const char* callback) {
  begin(callback);
  answer_text("export_name", "", nbdkit_export_name());
  fprintf(out, "is_tls = %d\n", nbdkit_is_tls());
  fprintf(out, "stdio_safe = %d\n", nbdkit_stdio_safe());
  int64_t pid = nbdkit_peer_pid();
  fprintf(out, "peer_pid = %s\n", pid > 0 ? "a pid" : pid == -1 ? "-1" : "odd");
  fprintf(out, "peer_uid = %" PRIi64 "\n", nbdkit_peer_uid());
  fprintf(out, "peer_gid = %" PRIi64 "\n", nbdkit_peer_gid());
  static const socklen_t rooms[] = {0, 1, 2, sizeof(struct sockaddr_un)};
  for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
    struct sockaddr_un address;
    memset(&address, 0x55, sizeof address);
    socklen_t length = rooms[i];
    int result = nbdkit_peer_name((struct sockaddr*)&address, &length);
    fprintf(out, "peer_name %u = %d length %u family %x\n", rooms[i], result, length,
            address.sun_family);
  }
  errno = ENOSPC;
  nbdkit_error("probe: expected message: %m");
  fprintf(out, "error keeps errno = %d\n", errno);
  errno = ENOSPC;
  nbdkit_debug("probe: %m");
  fprintf(out, "debug keeps errno = %d\n", errno);
  answer_text("printf_intern", callback, nbdkit_printf_intern("%s", callback));
  fflush(out);
}

static void probe_unload(void) {
  if (out != NULL) {
    ask_context("unload");
    fclose(out);
  }
}

static int probe_config(const char* key, const char* value) {
  if (strcmp(key, "out") == 0) {
    out = fopen(value, "we");
    return out == NULL ? -1 : 0;
  }
  if (strcmp(key, "scratch") == 0) {
    scratch = value;
    return 0;
  }
  fprintf(out, "config ");
  print_text(key);
  fputs(" = ", out);
  print_text(value);
  fputc('\n', out);
  return 0;
}

static int probe_config_complete(void) {
  ask_context("config_complete");
  ask_parsers();
  ask_passwords();
  ask_paths();
  ask_interning();
  return 0;
}

static int probe_get_ready(void) {
  ask_context("get_ready");
  ask_paths();
  return 0;
}

static int probe_after_fork(void) {
  ask_context("after_fork");
  ask_password("-0");
  ask_password("-");
  return 0;
}

static void probe_cleanup(void) { ask_context("cleanup"); }

static int probe_preconnect(int readonly) {
  ask_context("preconnect");
  fprintf(out, "readonly = %d\n", readonly);
  ask_interning();
  return 0;
}

static int probe_list_exports(int readonly, int is_tls, struct nbdkit_exports* exports) {
  ask_context("list_exports");
  fprintf(out, "readonly = %d is_tls = %d\n", readonly, is_tls);
  static const size_t lengths[] = {0, 1, 4095, 4096, 4097, 5000};
  char* text = malloc(5001);
  if (text == NULL) return -1;
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    memset(text, 'x', 5000);
    text[lengths[i]] = 0;
    errno = 0;
    int result = nbdkit_add_export(exports, text, NULL);
    fprintf(out, "add_export name of %zu = %d errno %d\n", lengths[i], result, errno);
    errno = 0;
    result = nbdkit_add_export(exports, "name", text);
    fprintf(out, "add_export description of %zu = %d errno %d\n", lengths[i], result, errno);
  }
  free(text);
  for (int i = 0; i < 3; i++)
    fprintf(out, "add_export twice = %d\n", nbdkit_add_export(exports, "twice", "the same"));
  /* The first list asks for the default export, the second is full, the third
   * is both: there is no room for the default then. */
  static int lists;
  lists++;
  if (lists != 2) {
    fprintf(out, "use_default_export = %d\n", nbdkit_use_default_export(exports));
    fprintf(out, "use_default_export = %d\n", nbdkit_use_default_export(exports));
  }
  if (lists == 1) return 0;
  int added = 0;
  while (added < 20000 && nbdkit_add_export(exports, "filler", NULL) == 0) added++;
  fprintf(out, "add_export until full = %d errno %d\n", added, errno);
  return 0;
}

static const char* probe_default_export(int readonly, int is_tls) {
  ask_context("default_export");
  fprintf(out, "readonly = %d is_tls = %d\n", readonly, is_tls);
  return nbdkit_strdup_intern("the-default");
}

static void* probe_open(int readonly) {
  ask_context("open");
  fprintf(out, "readonly = %d\n", readonly);
  ask_interning();
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static void probe_close(void* handle) {
  (void)handle;
  ask_context("close");
}

static const char* probe_export_description(void* handle) {
  (void)handle;
  ask_context("export_description");
  return "described";
}

#define SIZE (INT64_C(1) << 20)

static int64_t probe_get_size(void* handle) {
  (void)handle;
  ask_context("get_size");
  return SIZE;
}

static int probe_can_write(void* handle) {
  (void)handle;
  ask_context("can_write");
  return 0;
}

static int probe_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  ask_context("pread");
  fprintf(out, "count = %u offset = %" PRIu64 " flags = %u\n", count, offset, flags);
  ask_parsers();
  ask_interning();
  static const unsigned sleeps[][2] = {{0, 0},
                                       {0, 1000},
                                       {INT32_MAX, 0},
                                       {UINT32_MAX, 0},
                                       {0, 1000000},
                                       {INT32_MAX - 1, 1999999999},
                                       {UINT32_MAX, UINT32_MAX}};
  for (size_t i = 0; i < sizeof sleeps / sizeof sleeps[0]; i++) {
    errno = 0;
    int result = nbdkit_nanosleep(sleeps[i][0], sleeps[i][1]);
    fprintf(out, "nanosleep %u %u = %d errno %d\n", sleeps[i][0], sleeps[i][1], result,
            result == 0 ? 0 : errno);
  }
  memset(buf, 0, count);
  return 0;
}

/* The offset of the request chooses the script; the answers to each step and,
 * through the client, the descriptors are compared. */
static int probe_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                         struct nbdkit_extents* extents) {
  (void)handle;
  const size_t which = offset / 4096;
  fprintf(out, "== extents %zu count %u flags %u\n", which, count, flags);
  if (which >= sizeof scripts / sizeof scripts[0]) return nbdkit_add_extent(extents, 0, SIZE, 0);
  for (const struct step* step = scripts[which]; step->used; step++) {
    errno = 0;
    int result = nbdkit_add_extent(extents, offset + step->offset, step->length, step->type);
    fprintf(out, "add_extent +%" PRIu64 " %" PRIu64 " %u = %d errno %d\n", step->offset,
            step->length, step->type, result, errno);
  }
  fflush(out);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "probe",
    .unload = probe_unload,
    .config = probe_config,
    .config_complete = probe_config_complete,
    .magic_config_key = "bare",
    .get_ready = probe_get_ready,
    .after_fork = probe_after_fork,
    .cleanup = probe_cleanup,
    .preconnect = probe_preconnect,
    .list_exports = probe_list_exports,
    .default_export = probe_default_export,
    .open = probe_open,
    .close = probe_close,
    .export_description = probe_export_description,
    .get_size = probe_get_size,
    .can_write = probe_can_write,
    .pread = probe_pread,
    .extents = probe_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
