/* faulty-abi-*: plugins that go wrong before they are configured, so that what
 * is wrong must be built in: ABI_FAULT is one of the numbers below. Each is
 * otherwise a read-only disk of zeroes.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_INIT 1
#define INIT_NULL 2
#define VERSION_3 3
#define VERSION_NEGATIVE 4
#define STRUCT_SIZE_8 5
#define STRUCT_SIZE_ODD 6
#define NO_OPEN 7
#define NO_GET_SIZE 8
#define NO_PREAD 9
#define NO_NAME 10
#define EMPTY_NAME 11
#define BAD_NAME 12
#define UNRESOLVED 13
#define MODEL_NEGATIVE 14
#define MODEL_7 15
#define CRASH_INIT 16
#define CRASH_LOAD 17
#define CRASH_CONSTRUCTOR 18
#define HANG_LOAD 19
#define EXIT_LOAD 20
#define PRINT_CONSTRUCTOR 21
#define LOAD_ONCE 22
#define DEBUG_LONG 23
#define TEXT_RELOCATION 24
#define SEARCH_PATH 25      /* given to the linker */
#define EXECUTABLE_STACK 26 /* given to the linker */
#define EXPORTS 27
#define CALLBACK 28
#define STRING 29
#define INIT_CHANGES 30
#define FILTER_FUNCTION 31
#define LEAK_LOAD 32
#define FILTER_UNUSED 33
#define MODEL_7_UNSTARTED 34

#if ABI_FAULT == UNRESOLVED
extern int nbdkit_reference_no_such_function(void);
#endif

#if ABI_FAULT == DEBUG_LONG
/* The flag's name begins with the plugin's, which then cannot have a dash. */
#undef ABI_NAME
#define ABI_NAME "faultyabi"
NBDKIT_DLL_PUBLIC long faultyabi_debug_requests;
#elif ABI_FAULT == TEXT_RELOCATION
__asm__(".text\n.balign 8\n.quad plugin_init\n");
#endif

#if ABI_FAULT == EXPORTS
/* Calls from other files of the plugin would go to nbdkit's. */
NBDKIT_DLL_PUBLIC int nbdkit_parse_bool(const char* text);
int nbdkit_parse_bool(const char* text) { return strcmp(text, "on") == 0; }
#endif

#if ABI_FAULT == FILTER_FUNCTION || ABI_FAULT == FILTER_UNUSED
extern size_t nbdkit_exports_count(const struct nbdkit_exports* exports);
#endif

#if ABI_FAULT == LEAK_LOAD
static void* volatile table; /* or the compiler would leave it out */
#endif

static void abi_load(void) {
#if ABI_FAULT == CRASH_LOAD
  abort();
#elif ABI_FAULT == HANG_LOAD
  for (volatile unsigned i = 0;; i++) {
  }
#elif ABI_FAULT == EXIT_LOAD
  exit(0);
#elif ABI_FAULT == LOAD_ONCE
  /* Something that outlives the plugin, as a library's state would. */
  if (getenv("ABI_LOADED_BEFORE")) abort();
  setenv("ABI_LOADED_BEFORE", "yes", 1);
#elif ABI_FAULT == LEAK_LOAD
  table = malloc(1000);
#elif ABI_FAULT == UNRESOLVED
  (void)nbdkit_reference_no_such_function();
#elif ABI_FAULT == FILTER_UNUSED
  if (getenv("ABI_COUNT_EXPORTS")) (void)nbdkit_exports_count(NULL); /* as if for debugging */
#endif
}

#if ABI_FAULT == CRASH_CONSTRUCTOR
__attribute__((constructor)) static void crash(void) { abort(); }
#endif

#if ABI_FAULT == PRINT_CONSTRUCTOR
__attribute__((constructor)) static void greet(void) { printf("welcome\n"); }
#endif

#if ABI_FAULT == MODEL_7_UNSTARTED
/* It needs what is not given: only its file is there to be looked at. */
static int abi_config_complete(void) {
  nbdkit_error("disk= is missing");
  return -1;
}
#endif

static void* abi_open(int readonly) {
  (void)readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

#if ABI_FAULT == FILTER_FUNCTION
static int abi_list_exports(int readonly, int default_only, struct nbdkit_exports* exports) {
  (void)readonly;
  (void)default_only;
  nbdkit_add_export(exports, "", NULL);
  return nbdkit_exports_count(exports) == 1 ? 0 : -1;
}
#endif

static int64_t abi_get_size(void* handle) {
  (void)handle;
  return 1024 * 1024;
}

static int abi_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)offset;
  (void)flags;
  memset(buf, 0, count);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = ABI_NAME,
    .version = "0.1.0",
    .load = abi_load,
#if ABI_FAULT == MODEL_7_UNSTARTED
    .config_complete = abi_config_complete,
#endif
#if ABI_FAULT == FILTER_FUNCTION
    .list_exports = abi_list_exports,
#endif
    .open = abi_open,
    .get_size = abi_get_size,
    .pread = abi_pread,
};

#if ABI_FAULT == NO_INIT
#define plugin_init another_name
#endif

/* NBDKIT_REGISTER_PLUGIN spelt out, for what it does not let one get wrong. */
NBDKIT_DLL_PUBLIC struct nbdkit_plugin* plugin_init(void);
struct nbdkit_plugin* plugin_init(void) {
  plugin._struct_size = sizeof plugin;
  plugin._api_version = NBDKIT_API_VERSION;
  plugin._thread_model = NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS;
#if ABI_FAULT == INIT_NULL
  return NULL;
#elif ABI_FAULT == CRASH_INIT
  abort();
#elif ABI_FAULT == VERSION_3
  plugin._api_version = 3;
#elif ABI_FAULT == VERSION_NEGATIVE
  plugin._api_version = -1;
#elif ABI_FAULT == STRUCT_SIZE_8
  plugin._struct_size = 8;
#elif ABI_FAULT == STRUCT_SIZE_ODD
  plugin._struct_size = 300; /* in the middle of a field */
#elif ABI_FAULT == NO_OPEN
  plugin.open = NULL;
#elif ABI_FAULT == NO_GET_SIZE
  plugin.get_size = NULL;
#elif ABI_FAULT == NO_PREAD
  plugin.pread = NULL;
#elif ABI_FAULT == NO_NAME
  plugin.name = NULL;
#elif ABI_FAULT == EMPTY_NAME
  plugin.name = "";
#elif ABI_FAULT == BAD_NAME
  plugin.name = "bad_name";
#elif ABI_FAULT == MODEL_7_UNSTARTED
  plugin._thread_model = 7;
#elif ABI_FAULT == MODEL_NEGATIVE
  plugin._thread_model = -2;
#elif ABI_FAULT == MODEL_7
  plugin._thread_model = 7;
#elif ABI_FAULT == CALLBACK
  static int not_a_function;
  memcpy(&plugin.cleanup, &(void*){&not_a_function}, sizeof plugin.cleanup);
#elif ABI_FAULT == STRING
  plugin.longname = (const char*)(uintptr_t)0x1000;
#elif ABI_FAULT == INIT_CHANGES
  static unsigned called;
  char version[32];
  snprintf(version, sizeof version, "0.1.%u", called++);
  plugin.version = strdup(version);
#endif
  return &plugin;
}
