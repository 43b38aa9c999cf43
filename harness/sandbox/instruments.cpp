#include "sandbox/instruments.hpp"

#include <dlfcn.h>
#include <link.h>

#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/time_scale.hpp"

#if __has_include(<valgrind/memcheck.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <valgrind/memcheck.h>
#pragma GCC diagnostic pop
#endif

using DeathCallback = void (*)();

// Of the sanitizers' common runtime, there or not.
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(DeathCallback callback);

extern "C" [[gnu::weak]] int __lsan_do_recoverable_leak_check();

namespace nbdcheck {

bool under_valgrind() {
#if defined(RUNNING_ON_VALGRIND)
  return RUNNING_ON_VALGRIND != 0;
#else
  const char* preload = std::getenv("LD_PRELOAD");
  return preload != nullptr &&
         std::string_view(preload).find("vgpreload") != std::string_view::npos;
#endif
}

bool under_sanitizer() { return __sanitizer_set_death_callback != nullptr; }

namespace {
std::vector<std::string>& wrapper() {
  static std::vector<std::string> command;
  return command;
}
}  // namespace

void run_children_under(std::vector<std::string> command) { wrapper() = std::move(command); }
const std::vector<std::string>& children_run_under() { return wrapper(); }

void look_for_leaks() {
  if (__lsan_do_recoverable_leak_check != nullptr) __lsan_do_recoverable_leak_check();
#if defined(VALGRIND_DO_LEAK_CHECK)
  if (under_valgrind()) VALGRIND_DO_LEAK_CHECK;
#endif
}

namespace sandbox {

void at_sanitizer_death(DeathCallback callback) {
  if (!under_sanitizer()) return;
  __sanitizer_set_death_callback(callback);
  // gcc's libasan and libubsan each have a copy of the common runtime, of
  // which the linker shows us only the first.
  std::set<std::string> runtimes;
  const auto note = [](dl_phdr_info* object, std::size_t, void* names) {
    const std::string_view path = object->dlpi_name;
    if (path.find("san.so") != std::string_view::npos) {
      static_cast<std::set<std::string>*>(names)->emplace(path);
    }
    return 0;
  };
  ::dl_iterate_phdr(note, &runtimes);
  for (const std::string& path : runtimes) {
    void* runtime = ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (runtime == nullptr) continue;
    const auto set = reinterpret_cast<void (*)(DeathCallback)>(
        ::dlsym(runtime, "__sanitizer_set_death_callback"));
    if (set != nullptr) set(callback);
    ::dlclose(runtime);
  }
}

}  // namespace sandbox

double time_scale() {
  if (under_valgrind() || !children_run_under().empty()) return valgrind_time_scale;
  return under_sanitizer() ? sanitizer_time_scale : 1;
}

}  // namespace nbdcheck
