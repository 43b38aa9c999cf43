// read_elf on everything a user may name by mistake, and on damaged files.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "nbdcheck/plugin.hpp"
#include "plugin/temporary_directory.hpp"

namespace nbdcheck {
namespace {

using Kind = LoadFailure::Kind;

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

TEST(ReadElf, FactsOfAPlugin) {
  const auto facts = read_elf(FIXTURES "/fixture-unresolved.so");
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(facts->bits, 8 * sizeof(void*));
  EXPECT_TRUE(facts->shared_object);
  EXPECT_FALSE(facts->executable_stack);
  EXPECT_FALSE(facts->text_relocations);
  EXPECT_TRUE(contains(facts->defined, "plugin_init"));
  EXPECT_TRUE(contains(facts->undefined, "nbdkit_no_such_function"));
  EXPECT_FALSE(contains(facts->undefined, "plugin_init"));
  EXPECT_FALSE(contains(facts->undefined, "__gmon_start__")) << "weak";
  EXPECT_TRUE(contains(facts->needed, "libc.so.6"));
}

TEST(ReadElf, TellsWhatIsNoSharedObject) {
  const TemporaryDirectory directory;
  const auto failure = [](const std::string& path) {
    const auto facts = read_elf(path);
    return facts ? LoadFailure{Kind::no_plugin_init, "no failure"} : facts.error();
  };
  EXPECT_EQ(failure("/no/such/file").kind, Kind::not_found);
  EXPECT_EQ(failure("/dev/null/file").kind, Kind::not_found);
  EXPECT_EQ(failure("/tmp").kind, Kind::not_readable);
  EXPECT_EQ(failure("/dev/null").kind, Kind::not_readable);

  TemporaryDirectory files;
  const auto refused = [&](const std::string& path, const std::string& words) {
    const LoadFailure f = failure(path);
    EXPECT_EQ(f.kind, Kind::not_shared_object) << path;
    EXPECT_NE(f.message.find(words), std::string::npos) << f.message;
    EXPECT_TRUE(f.is_users_mistake());
  };
  refused(files.write("empty", ""), "empty");
  refused(files.write("one", "x"), "not an ELF");
  refused(files.write("text", "hello\n"), "not an ELF");
  refused(files.write("script", "#!/bin/sh\n"), "script");
  refused(files.write("magic",
                      "\x7f"
                      "ELF"),
          "ELF");
  refused(FIXTURES "/fixture_executable", "executable");
  refused(FIXTURES "/libfixture_archive.a", "archive");
  refused(FIXTURE_OBJECT, "object file");
}

TEST(ReadElf, OtherMachines) {
  TemporaryDirectory files;
  std::string file = content(FIXTURES "/fixture-good.so");
  ASSERT_GT(file.size(), 64u);
  file[18] = 0x16;  // e_machine: s390
  auto facts = read_elf(files.write("s390", file));
  ASSERT_FALSE(facts.has_value());
  EXPECT_EQ(facts.error().kind, Kind::wrong_machine);

  // The header of a 32-bit shared object is enough to know it by.
  std::string header(52, '\0');
  header.replace(0, 7,
                 "\x7f"
                 "ELF\x01\x01\x01");
  header[16] = 3;   // ET_DYN
  header[18] = 3;   // EM_386
  header[20] = 1;   // version
  header[40] = 52;  // header size
  facts = read_elf(files.write("i386", header));
  ASSERT_FALSE(facts.has_value());
  EXPECT_EQ(facts.error().kind, Kind::wrong_machine);
  EXPECT_NE(facts.error().message.find("32-bit"), std::string::npos);
}

// Any answer will do; not returning will not.
TEST(ReadElf, SurvivesDamage) {
  TemporaryDirectory files;
  const std::string file = content(FIXTURES "/fixture-good.so");
  for (std::size_t size = 0; size < file.size(); size += 61) {
    (void)read_elf(files.write("short", file.substr(0, size)));
  }
  std::mt19937 random(1);  // fixed: the same damage on every run
  for (int round = 0; round < 400; ++round) {
    std::string damaged = file;
    for (int i = 0; i < 20; ++i) {
      // Most of the structure is at both ends: headers, section headers.
      const std::size_t reach = std::min<std::size_t>(damaged.size(), 4096);
      const std::size_t at = random() % reach;
      damaged[random() % 2 == 0 ? at : damaged.size() - 1 - at] = static_cast<char>(random());
    }
    damaged.replace(0, 4,
                    "\x7f"
                    "ELF");
    (void)read_elf(files.write("damaged", damaged));
  }
}

}  // namespace
}  // namespace nbdcheck
