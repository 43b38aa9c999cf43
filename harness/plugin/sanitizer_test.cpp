#include <gtest/gtest.h>

#include "nbdcheck/instruments.hpp"

namespace nbdcheck {
namespace {

ElfFacts facts(std::vector<std::string> needed, std::vector<std::string> undefined = {}) {
  ElfFacts facts;
  facts.needed = std::move(needed);
  facts.undefined = std::move(undefined);
  return facts;
}

TEST(SanitizerOf, NothingUnusual) {
  EXPECT_EQ(sanitizer_of(facts({"libc.so.6", "libasanas.so"}, {"malloc", "nbdkit_error"})),
            std::nullopt);
}

TEST(SanitizerOf, AGccPluginNamesTheLibrary) {
  EXPECT_EQ(sanitizer_of(facts({"libasan.so.8", "libubsan.so.1"})), Sanitizer::address);
  EXPECT_EQ(sanitizer_of(facts({"libtsan.so.2"})), Sanitizer::thread);
  EXPECT_EQ(sanitizer_of(facts({"liblsan.so.0"})), Sanitizer::leak);
  EXPECT_EQ(sanitizer_of(facts({"libubsan.so.1"})), Sanitizer::undefined);
  EXPECT_EQ(sanitizer_of(facts({"libclang_rt.asan-x86_64.so"})), Sanitizer::address);
}

TEST(SanitizerOf, AClangPluginNamesTheFunctions) {
  EXPECT_EQ(sanitizer_of(facts({}, {"__asan_init", "__ubsan_handle_add_overflow"})),
            Sanitizer::address);
  EXPECT_EQ(sanitizer_of(facts({}, {"__tsan_read1"})), Sanitizer::thread);
  EXPECT_EQ(sanitizer_of(facts({}, {"__ubsan_handle_add_overflow"})), Sanitizer::undefined);
  EXPECT_EQ(sanitizer_of(facts({}, {"__msan_init"})), Sanitizer::memory);
}

}  // namespace
}  // namespace nbdcheck
