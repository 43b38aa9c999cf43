#include "instruments/matching.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>

#include "nbdcheck/instruments.hpp"
#include "nbdcheck/plugin.hpp"

// Of the runtimes of sanitizers; absent where this program has none.
extern "C" {
[[gnu::weak]] void __asan_init();  // NOLINT(bugprone-reserved-identifier)
[[gnu::weak]] void __tsan_init();  // NOLINT(bugprone-reserved-identifier)
}

namespace nbdcheck {
namespace {

// AddressSanitizer's runtime has LeakSanitizer in it, and goes with
// UndefinedBehaviorSanitizer's.
std::string_view build_for(Sanitizer sanitizer) {
  switch (sanitizer) {
    case Sanitizer::address:
    case Sanitizer::undefined:
      return "nbdcheck-asan";
    case Sanitizer::leak:
      return "nbdcheck-lsan";
    case Sanitizer::thread:
      return "nbdcheck-tsan";
    case Sanitizer::memory:
    case Sanitizer::hwaddress:
      return "";
  }
  return "";
}

// Which of them this program is, whatever its name; "": it has no runtime.
std::string_view this_build() {
  if (__asan_init != nullptr) return "nbdcheck-asan";
  if (__tsan_init != nullptr) return "nbdcheck-tsan";
  return "";
}

}  // namespace

tl::expected<std::string, std::string> matching_build(const std::string& plugin_file,
                                                      const std::string& own) {
  const auto facts = read_elf(plugin_file);
  if (!facts) return "";  // said better by those who load it
  const auto sanitizer = sanitizer_of(*facts);
  if (!sanitizer) return "";
  const std::string_view build = build_for(*sanitizer);
  if (build.empty())
    return tl::unexpected(fmt::format(
        "{}: was built with {}, which works only where all of a program is built with it, the C++ "
        "library too; build the plugin with -fsanitize=address or run it with --valgrind",
        plugin_file, name(*sanitizer)));
  const std::filesystem::path self(own);
  if (self.filename() == build || this_build() == build) return "";
  const std::string wanted = self.parent_path() / build;
  if (::access(wanted.c_str(), X_OK) != 0)
    return tl::unexpected(
        fmt::format("{}: was built with {}; its runtime is in {}, which is not "
                    "there",
                    plugin_file, name(*sanitizer), wanted));
  return wanted;
}

}  // namespace nbdcheck
