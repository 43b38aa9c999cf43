#include "execute/operation_log.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

class OperationLogTest : public ::testing::Test {
 protected:
  OperationLogTest() {
    std::string name = (fs::temp_directory_path() / "nbdcheck-log.XXXXXX").string();
    directory = ::mkdtemp(name.data());
    path = (directory / "log").string();
  }
  ~OperationLogTest() override { fs::remove_all(directory); }
  static Operation numbered(std::uint64_t n) {
    Operation op{.kind = OpKind::write};
    op.offset = n;
    op.count = 1;
    op.tag = static_cast<std::uint32_t>(n);
    return op;
  }
  fs::path directory;
  std::string path;
};

TEST_F(OperationLogTest, CanBeReadAtAnyMomentAndGrows) {
  OperationLog log(path);
  EXPECT_TRUE(OperationLog::load(path).empty());
  constexpr std::uint64_t many = 70'000;  // beyond the first two sizes
  for (std::uint64_t i = 0; i < many; ++i) {
    log.append(numbered(i));
    if (i == 0 || i == 16'383 || i == 16'384) {
      EXPECT_EQ(OperationLog::load(path).size(), i + 1);
    }
  }
  const auto all = OperationLog::load(path);
  ASSERT_EQ(all.size(), many);
  EXPECT_EQ(log.size(), many);
  for (std::uint64_t i = 0; i < many; ++i) ASSERT_EQ(all[i], numbered(i));
}

TEST_F(OperationLogTest, OutlivesTheLogAndStartsAgain) {
  {
    OperationLog log(path);
    log.append(numbered(1));
    log.append(numbered(2));
    log.restart();
    EXPECT_TRUE(OperationLog::load(path).empty());
    log.append(numbered(3));
  }
  const auto all = OperationLog::load(path);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0], numbered(3));
}

TEST_F(OperationLogTest, WhatCannotBeCreatedSwallowsEverything) {
  for (const std::string& bad : {(directory / "none/log").string(), std::string("/dev/full"),
                                 directory.string(), std::string()}) {
    OperationLog log(bad);
    log.append(numbered(1));
    log.restart();
    EXPECT_EQ(log.size(), 0U) << bad;
  }
}

TEST_F(OperationLogTest, AFullDiskKeepsWhatThereIs) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  OperationLog log(path);
  const rlimit now{fs::file_size(path), old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &now), 0);
  for (std::uint64_t i = 0; i < 20'000; ++i) log.append(numbered(i));
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(log.size(), 16'384U);
  EXPECT_EQ(OperationLog::load(path).size(), 16'384U);
}

TEST_F(OperationLogTest, HostileContents) {
  EXPECT_TRUE(OperationLog::load((directory / "missing").string()).empty());
  EXPECT_TRUE(OperationLog::load(directory.string()).empty());
  const auto load = [&](const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    return OperationLog::load(path).size();
  };
  EXPECT_EQ(load(""), 0U);
  EXPECT_EQ(load(std::string(31, '\xff')), 0U) << "a truncated header";
  const std::string huge(32, '\xff');
  EXPECT_EQ(load(huge), 0U);
  EXPECT_EQ(load(huge + std::string(1000, '\xff')), 0U) << "no such kind";
  EXPECT_LE(load(huge + std::string(1000, '\0')), 1000 / sizeof(Operation))
      << "a huge count ends with the file";
  std::string connection(sizeof(Operation), '\0');
  connection[offsetof(Operation, connection)] = '\x41';
  EXPECT_EQ(load(huge + connection), 0U) << "no such connection";
}

}  // namespace
}  // namespace nbdcheck
