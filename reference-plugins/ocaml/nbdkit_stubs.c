/* Between nbdkit and OCaml.
 *
 * The runtime is started when the object is loaded, and runs the program, which
 * registers its callbacks. Up to .after_fork the main thread keeps the runtime's
 * lock: OCaml's own handler of fork takes it for granted that the thread that forks
 * has it. Later every callback takes it, and gives it back: a thread of nbdkit's
 * that ends needs it, too, even when all callbacks are over.
 */
#define NBDKIT_API_VERSION 2
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/callback.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>
#include <caml/threads.h>
#include <caml/unixsupport.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ml_load(void);
static void ml_unload(void);
static int ml_config(const char *key, const char *text);
static int ml_config_complete(void);
static int ml_thread_model(void);
static int ml_get_ready(void);
static int ml_after_fork(void);
static void ml_cleanup(void);
static void ml_dump_plugin(void);
static void *ml_open(int readonly);
static void ml_close(void *handle);
static int64_t ml_get_size(void *handle);
static int ml_can_write(void *handle);
static int ml_can_flush(void *handle);
static int ml_can_trim(void *handle);
static int ml_can_zero(void *handle);
static int ml_can_fast_zero(void *handle);
static int ml_can_extents(void *handle);
static int ml_can_multi_conn(void *handle);
static int ml_is_rotational(void *handle);
static int ml_can_fua(void *handle);
static int ml_can_cache(void *handle);
static int ml_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum);
static const char *ml_export_description(void *handle);
static int ml_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags);
static int ml_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
                     uint32_t flags);
static int ml_flush(void *handle, uint32_t flags);
static int ml_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
static int ml_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
static int ml_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
static int ml_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                      struct nbdkit_extents *extents);

/* These are needed whatever the program has. */
static struct nbdkit_plugin plugin = {
    ._struct_size = sizeof plugin,
    ._api_version = NBDKIT_API_VERSION,
    ._thread_model = NBDKIT_THREAD_MODEL_PARALLEL,
    .load = ml_load,
    .unload = ml_unload,
    .after_fork = ml_after_fork,
    .close = ml_close,
};

/* The callbacks: a name, the OCaml function, and where nbdkit looks for ours. */
#define CALLBACKS(X)                                                                      \
  X(load) X(unload) X(config) X(config_complete) X(thread_model) X(get_ready) X(after_fork) \
  X(cleanup) X(dump_plugin) X(open) X(close) X(get_size) X(can_write) X(can_flush)        \
  X(can_trim) X(can_zero) X(can_fast_zero) X(can_extents) X(can_multi_conn)               \
  X(is_rotational) X(can_fua) X(can_cache) X(block_size) X(export_description) X(pread)   \
  X(pwrite) X(flush) X(trim) X(zero) X(cache) X(extents)

enum callback {
#define X(name) fn_##name,
  CALLBACKS(X)
#undef X
      fn_explain,
  fn_count
};

static value functions[fn_count]; /* 0: the program has none */

static void use(enum callback callback) {
  switch (callback) {
#define X(name)               \
  case fn_##name:             \
    plugin.name = ml_##name;  \
    break;
    CALLBACKS(X)
#undef X
    default:
      break;
  }
}

value nbdkit_ml_set_function(value name, value function) {
  CAMLparam2(name, function);
  static const char *const names[] = {
#define X(name) #name,
      CALLBACKS(X)
#undef X
          "explain"};
  for (int i = 0; i < fn_count; ++i) {
    if (strcmp(names[i], String_val(name)) != 0) continue;
    functions[i] = function;
    caml_register_generational_global_root(&functions[i]);
    use((enum callback)i);
  }
  CAMLreturn(Val_unit);
}

value nbdkit_ml_set_string(value name, value text) {
  CAMLparam2(name, text);
  const struct {
    const char *name;
    const char **field;
  } fields[] = {{"name", &plugin.name},
                {"version", &plugin.version},
                {"longname", &plugin.longname},
                {"description", &plugin.description},
                {"config_help", &plugin.config_help},
                {"magic_config_key", &plugin.magic_config_key}};
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; ++i)
    if (strcmp(fields[i].name, String_val(name)) == 0) *fields[i].field = strdup(String_val(text));
  CAMLreturn(Val_unit);
}

value nbdkit_ml_parse_size(value text) {
  const int64_t size = nbdkit_parse_size(String_val(text));
  if (size <= Max_long) return Val_long(size);
  nbdkit_error("a size of %s is more than OCaml's integers hold", String_val(text));
  return Val_long(-1);
}

static value optional_string(const char *text) {
  CAMLparam0();
  CAMLlocal1(string);
  if (text == NULL) CAMLreturn(Val_none);
  string = caml_copy_string(text);
  CAMLreturn(caml_alloc_some(string));
}

value nbdkit_ml_absolute_path(value path) {
  CAMLparam1(path);
  CAMLlocal1(result);
  char *absolute = nbdkit_absolute_path(String_val(path));
  result = optional_string(absolute);
  free(absolute);
  CAMLreturn(result);
}

value nbdkit_ml_export_name(value unit) {
  CAMLparam1(unit);
  CAMLreturn(optional_string(nbdkit_export_name()));
}

/* --- the runtime and its threads ---------------------------------------- */

static pthread_t main_thread;
static bool main_has_lock = true; /* only the main thread looks */
static pthread_key_t registered;

static void forget_thread(void *unused) {
  (void)unused;
  caml_c_thread_unregister();
}

static void enter(void) {
  if (pthread_equal(pthread_self(), main_thread)) {
    if (!main_has_lock) caml_acquire_runtime_system();
    return;
  }
  /* nbdkit's threads come and go with its clients. */
  if (pthread_getspecific(registered) == NULL) {
    caml_c_thread_register();
    pthread_setspecific(registered, &registered);
  }
  caml_acquire_runtime_system();
}

static void leave(void) {
  if (pthread_equal(pthread_self(), main_thread) && main_has_lock) return;
  caml_release_runtime_system();
}

__attribute__((constructor)) static void start(void) {
  static char program[] = "nbdkit";
  char *arguments[] = {program, NULL};
  main_thread = pthread_self();
  pthread_key_create(&registered, forget_thread);
  caml_startup(arguments);
}

struct nbdkit_plugin *plugin_init(void);
struct nbdkit_plugin *plugin_init(void) { return &plugin; }

/* --- calls ---------------------------------------------------------------- */

/* True: the result is an exception, of which nbdkit has been told. */
static bool failed(value result) {
  CAMLparam0();
  CAMLlocal2(exception, pair);
  if (!Is_exception_result(result)) CAMLreturnT(bool, false);
  exception = Extract_exception(result);
  pair = caml_callback_exn(functions[fn_explain], exception);
  if (Is_exception_result(pair)) {
    nbdkit_error("an exception that cannot be printed");
    nbdkit_set_error(EIO);
    CAMLreturnT(bool, true);
  }
  if (caml_string_length(Field(pair, 1)) > 0) nbdkit_error("%s", String_val(Field(pair, 1)));
  nbdkit_set_error(code_of_unix_error(Field(pair, 0)));
  CAMLreturnT(bool, true);
}

/* An OCaml value that nbdkit keeps is a root, in memory that does not move. */
static value of_handle(void *handle) { return *(value *)handle; }

static int call_unit(enum callback callback) {
  enter();
  const int status = failed(caml_callback_exn(functions[callback], Val_unit)) ? -1 : 0;
  leave();
  return status;
}

static void ml_load(void) {
  if (functions[fn_load] != 0) call_unit(fn_load);
}
static int ml_config_complete(void) { return call_unit(fn_config_complete); }
static int ml_get_ready(void) { return call_unit(fn_get_ready); }

static int ml_after_fork(void) {
  const int status = functions[fn_after_fork] != 0 ? call_unit(fn_after_fork) : 0;
  if (main_has_lock) {
    main_has_lock = false;
    caml_release_runtime_system();
  }
  return status;
}

static void ml_cleanup(void) { call_unit(fn_cleanup); }
static void ml_unload(void) {
  if (functions[fn_unload] != 0) call_unit(fn_unload);
}

static int ml_thread_model(void) {
  enter();
  const value result = caml_callback_exn(functions[fn_thread_model], Val_unit);
  const int model = failed(result) ? -1 : Int_val(result);
  leave();
  return model;
}

static int ml_config(const char *key, const char *text) {
  enter();
  CAMLparam0();
  CAMLlocal2(k, t);
  k = caml_copy_string(key);
  t = caml_copy_string(text);
  const int status = failed(caml_callback2_exn(functions[fn_config], k, t)) ? -1 : 0;
  CAMLdrop;
  leave();
  return status;
}

static void ml_dump_plugin(void) {
  enter();
  CAMLparam0();
  CAMLlocal1(fields);
  fields = caml_callback_exn(functions[fn_dump_plugin], Val_unit);
  if (!failed(fields))
    for (; fields != Val_emptylist; fields = Field(fields, 1))
      printf("%s=%s\n", String_val(Field(Field(fields, 0), 0)),
             String_val(Field(Field(fields, 0), 1)));
  CAMLdrop;
  leave();
}

static void *ml_open(int readonly) {
  enter();
  value *handle = NULL;
  value result = caml_callback_exn(functions[fn_open], Val_bool(readonly));
  if (!failed(result)) {
    handle = malloc(sizeof *handle);
    if (handle == NULL) {
      nbdkit_error("malloc: %m");
    } else {
      *handle = result;
      caml_register_generational_global_root(handle);
    }
  }
  leave();
  return handle;
}

static void ml_close(void *handle) {
  enter();
  if (functions[fn_close] != 0) failed(caml_callback_exn(functions[fn_close], of_handle(handle)));
  caml_remove_generational_global_root(handle);
  leave();
  free(handle);
}

static int64_t call_number(enum callback callback, void *handle) {
  enter();
  const value result = caml_callback_exn(functions[callback], of_handle(handle));
  const int64_t number = failed(result) ? -1 : Long_val(result);
  leave();
  return number;
}

static int64_t ml_get_size(void *handle) { return call_number(fn_get_size, handle); }

/* Constructors without arguments are numbers, in the order of nbdkit's. */
#define CAN(name) \
  static int ml_##name(void *handle) { return (int)call_number(fn_##name, handle); }
CAN(can_write)
CAN(can_flush)
CAN(can_trim)
CAN(can_zero)
CAN(can_fast_zero)
CAN(can_extents)
CAN(can_multi_conn)
CAN(is_rotational)
CAN(can_fua)
CAN(can_cache)

static int ml_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum) {
  enter();
  const value result = caml_callback_exn(functions[fn_block_size], of_handle(handle));
  const bool bad = failed(result);
  if (!bad) {
    *minimum = (uint32_t)Long_val(Field(result, 0));
    *preferred = (uint32_t)Long_val(Field(result, 1));
    *maximum = (uint32_t)Long_val(Field(result, 2));
  }
  leave();
  return bad ? -1 : 0;
}

static const char *ml_export_description(void *handle) {
  enter();
  const value result = caml_callback_exn(functions[fn_export_description], of_handle(handle));
  const char *text = failed(result) ? NULL : nbdkit_strdup_intern(String_val(result));
  leave();
  return text;
}

/* Data are copied: OCaml's bytes move, and a request's buffer does not outlive it. */
static int ml_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags) {
  enter();
  CAMLparam0();
  CAMLlocal1(bytes);
  bytes = caml_alloc_string(count);
  memset(Bytes_val(bytes), 0, count);
  value arguments[] = {of_handle(handle), bytes, Val_long(offset), Val_long(flags)};
  const int status = failed(caml_callbackN_exn(functions[fn_pread], 4, arguments)) ? -1 : 0;
  if (status == 0) memcpy(buf, Bytes_val(bytes), count);
  CAMLdrop;
  leave();
  return status;
}

static int ml_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
                     uint32_t flags) {
  enter();
  CAMLparam0();
  CAMLlocal1(bytes);
  bytes = caml_alloc_initialized_string(count, buf);
  value arguments[] = {of_handle(handle), bytes, Val_long(offset), Val_long(flags)};
  const int status = failed(caml_callbackN_exn(functions[fn_pwrite], 4, arguments)) ? -1 : 0;
  CAMLdrop;
  leave();
  return status;
}

static int ml_flush(void *handle, uint32_t flags) {
  enter();
  const value result =
      caml_callback2_exn(functions[fn_flush], of_handle(handle), Val_long(flags));
  const int status = failed(result) ? -1 : 0;
  leave();
  return status;
}

static int call_range(enum callback callback, void *handle, uint32_t count, uint64_t offset,
                      uint32_t flags) {
  enter();
  value arguments[] = {of_handle(handle), Val_long(count), Val_long(offset), Val_long(flags)};
  const int status = failed(caml_callbackN_exn(functions[callback], 4, arguments)) ? -1 : 0;
  leave();
  return status;
}

#define RANGE(name)                                                                        \
  static int ml_##name(void *handle, uint32_t count, uint64_t offset, uint32_t flags) {    \
    return call_range(fn_##name, handle, count, offset, flags);                            \
  }
RANGE(trim)
RANGE(zero)
RANGE(cache)

static int ml_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                      struct nbdkit_extents *extents) {
  enter();
  CAMLparam0();
  CAMLlocal1(list);
  value arguments[] = {of_handle(handle), Val_long(count), Val_long(offset), Val_long(flags)};
  list = caml_callbackN_exn(functions[fn_extents], 4, arguments);
  int status = failed(list) ? -1 : 0;
  for (; status == 0 && list != Val_emptylist; list = Field(list, 1)) {
    const uint64_t length = (uint64_t)Long_val(Field(Field(list, 0), 0));
    const uint32_t type = (uint32_t)Long_val(Field(Field(list, 0), 1));
    status = nbdkit_add_extent(extents, offset, length, type);
    offset += length;
  }
  CAMLdrop;
  leave();
  return status;
}
