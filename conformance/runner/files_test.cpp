// What the runner reads and writes: digests and reproducers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "runner/artifacts.hpp"
#include "runner/sha256.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string name = (fs::temp_directory_path() / "nbdcheck-files.XXXXXX").string();
    directory = ::mkdtemp(name.data());
  }
  ~Files() override { fs::remove_all(directory); }
  static void write(const fs::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string text_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static Plan plan(std::uint64_t seed) {
    Plan plan;
    plan.check = "data.random";
    plan.plugin = "x.so";
    plan.seed = seed;
    return plan;
  }
  fs::path directory;
};

// FIPS 180-2, appendix B, and a file longer than one buffer.
TEST_F(Files, Sha256) {
  const auto of = [&](std::string_view text) {
    write(directory / "f", text);
    return sha256_of_file((directory / "f").string());
  };
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(of(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(sha256_of_file((directory / "missing").string()), "");
  EXPECT_EQ(sha256_of_file(directory.string()).size() % 64, 0U);
}

TEST_F(Files, TheDirectoryIsMadeWhenThereIsSomethingToKeep) {
  Artifacts artifacts((directory / "a/b").string());
  EXPECT_FALSE(fs::exists(directory / "a"));
  const std::string path = artifacts.save(plan(1), "data.read-your-writes");
  EXPECT_EQ(path, (directory / "a/b/data.read-your-writes.plan").string());
  EXPECT_EQ(text_of(path), to_text(plan(1)));
  EXPECT_EQ(artifacts.error(), "");
}

TEST_F(Files, NothingIsOverwritten) {
  Artifacts artifacts(directory.string());
  write(directory / "r.plan", "mine");
  const std::string second = artifacts.save(plan(1), "r");
  EXPECT_EQ(second, (directory / "r-2.plan").string());
  EXPECT_EQ(text_of(directory / "r.plan"), "mine");
  EXPECT_EQ(artifacts.save(plan(1), "r"), second) << "the same plan needs no second file";
  EXPECT_EQ(artifacts.save(plan(2), "r"), (directory / "r-3.plan").string());
  EXPECT_EQ(text_of(second), to_text(plan(1)));
}

TEST_F(Files, ADirectoryFullOfOldReproducers) {
  write(directory / "r.plan", "old");
  for (int i = 2; i < 1000; ++i) write(directory / ("r-" + std::to_string(i) + ".plan"), "old");
  Artifacts artifacts(directory.string());
  EXPECT_EQ(artifacts.save(plan(1), "r"), "");
  EXPECT_NE(artifacts.error().find("full"), std::string::npos) << artifacts.error();
  EXPECT_NE(artifacts.save(plan(1), "other"), "");
}

TEST_F(Files, WhatCannotBeWrittenIsSaid) {
  write(directory / "file", "");
  Artifacts in_a_file((directory / "file/sub").string());
  EXPECT_EQ(in_a_file.save(plan(1), "r"), "");
  EXPECT_NE(in_a_file.error().find("file/sub"), std::string::npos) << in_a_file.error();
  fs::create_directory(directory / "r.plan");
  Artifacts artifacts(directory.string());
  EXPECT_EQ(artifacts.save(plan(1), "r"), (directory / "r-2.plan").string());
}

}  // namespace
}  // namespace nbdcheck
