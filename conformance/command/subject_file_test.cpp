#include "command/subject_file.hpp"

#include <elf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

class SubjectFileTest : public ::testing::Test {
 protected:
  SubjectFileTest() : before(fs::current_path()) {
    std::string name = (fs::temp_directory_path() / "nbdcheck-subject.XXXXXX").string();
    directory = ::mkdtemp(name.data());
  }
  ~SubjectFileTest() override {
    fs::current_path(before);
    fs::remove_all(directory);
  }
  std::string file(const std::string& name, std::string_view contents) {
    std::ofstream(directory / name, std::ios::binary) << contents;
    return (directory / name).string();
  }
  // What find_subject_file has against it; "" when nothing.
  static std::string problem(const std::string& plugin) {
    const auto found = find_subject_file(plugin);
    if (found) return "";
    EXPECT_EQ(found.error().find('\n'), std::string::npos) << "one line";
    EXPECT_FALSE(found.error().empty());
    return found.error();
  }
  fs::path before;
  fs::path directory;
};

TEST_F(SubjectFileTest, APlugin) {
  const auto found = find_subject_file(RAMDISK_PLUGIN);
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(found->name, RAMDISK_PLUGIN);
  EXPECT_EQ(found->path, RAMDISK_PLUGIN);
}

TEST_F(SubjectFileTest, AFileInTheCurrentDirectoryNeedsNoSlash) {
  fs::copy(RAMDISK_PLUGIN, directory / "mine.so");
  fs::current_path(directory);
  const auto found = find_subject_file("mine.so");
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(found->name, "./mine.so");
}

TEST_F(SubjectFileTest, WhatIsNoPluginAtAll) {
  EXPECT_NE(problem((directory / "missing.so").string()), "");
  EXPECT_NE(problem("no-plugin-is-called-this"), "");
  EXPECT_NE(problem(directory.string()), "");
  EXPECT_NE(problem(file("empty.so", "")), "");
  EXPECT_NE(problem(file("text.so", "This is not a plugin.\n")), "");
  EXPECT_NE(problem(file("short.so",
                         "\x7f"
                         "ELF")),
            "");
}

TEST_F(SubjectFileTest, ElfOfAnotherMachine) {
  Elf32_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_DYN;
  header.e_machine = EM_386;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof(header);
  EXPECT_NE(problem(file("old.so", {reinterpret_cast<const char*>(&header), sizeof(header)})), "");
}

TEST_F(SubjectFileTest, AnExecutableIsNoPlugin) {
  EXPECT_NE(problem(fs::read_symlink("/proc/self/exe").string()), "");
}

}  // namespace
}  // namespace nbdcheck
