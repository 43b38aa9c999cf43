#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "nbdcheck/instruments.hpp"

namespace nbdcheck {
namespace {

struct Signs {
  Sanitizer sanitizer;
  std::string_view library;  // part of the name of a needed library
  std::string_view symbol;   // how undefined symbols begin
};

// First what excludes the others.
constexpr std::array signs{
    Signs{Sanitizer::address, "asan", "__asan_"},
    Signs{Sanitizer::thread, "tsan", "__tsan_"},
    Signs{Sanitizer::memory, "msan", "__msan_"},
    Signs{Sanitizer::hwaddress, "hwasan", "__hwasan_"},
    Signs{Sanitizer::leak, "lsan", "__lsan_"},
    Signs{Sanitizer::undefined, "ubsan", "__ubsan_"},
};

// "libasan.so.8", "libclang_rt.asan-x86_64.so"
bool is_runtime(std::string_view library, std::string_view which) {
  for (const std::string_view prefix : {"lib", "libclang_rt."}) {
    if (!library.starts_with(prefix)) continue;
    const std::string_view rest = library.substr(prefix.size());
    if (rest.starts_with(which) && rest.size() > which.size() &&
        (rest[which.size()] == '.' || rest[which.size()] == '-' || rest[which.size()] == '_'))
      return true;
  }
  return false;
}

}  // namespace

std::string_view name(Sanitizer sanitizer) {
  switch (sanitizer) {
    case Sanitizer::address:
      return "AddressSanitizer";
    case Sanitizer::thread:
      return "ThreadSanitizer";
    case Sanitizer::leak:
      return "LeakSanitizer";
    case Sanitizer::undefined:
      return "UndefinedBehaviorSanitizer";
    case Sanitizer::memory:
      return "MemorySanitizer";
    case Sanitizer::hwaddress:
      return "HWAddressSanitizer";
  }
  return "a sanitizer";
}

std::optional<Sanitizer> sanitizer_of(const ElfFacts& facts) {
  for (const Signs& sign : signs) {
    const bool needs = std::ranges::any_of(facts.needed, [&](const std::string& library) {
      return is_runtime(library, sign.library);
    });
    const bool calls = std::ranges::any_of(facts.undefined, [&](const std::string& symbol) {
      return symbol.starts_with(sign.symbol);
    });
    if (needs || calls) return sign.sanitizer;
  }
  return std::nullopt;
}

}  // namespace nbdcheck
