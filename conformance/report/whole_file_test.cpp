#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "report/event.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

class WholeFile : public testing::Test {
 protected:
  WholeFile() {
    std::string pattern = testing::TempDir() + "nbdcheck-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~WholeFile() override { fs::remove_all(directory_); }

  static std::string contents(const fs::path& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  [[nodiscard]] std::string at(const std::string& name) const { return directory_ / name; }
  // Nothing temporary is left behind.
  [[nodiscard]] std::ptrdiff_t entries() const {
    return std::distance(fs::directory_iterator(directory_), fs::directory_iterator());
  }

  fs::path directory_;
};

TEST_F(WholeFile, CreatesAndReplacesKeepingTheMode) {
  EXPECT_EQ(write_whole_file(at("a"), "one"), "");
  EXPECT_EQ(contents(at("a")), "one");
  fs::permissions(at("a"), fs::perms(0640));
  EXPECT_EQ(write_whole_file(at("a"), "two"), "");
  EXPECT_EQ(contents(at("a")), "two");
  EXPECT_EQ(fs::status(at("a")).permissions(), fs::perms(0640));
  EXPECT_EQ(entries(), 1);
}

TEST_F(WholeFile, WritesThroughLinks) {
  std::ofstream(at("target")) << "old";
  fs::create_symlink("target", at("link"));
  fs::create_symlink("not-yet", at("dangling"));
  EXPECT_EQ(write_whole_file(at("link"), "new"), "");
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_EQ(contents(at("target")), "new");
  EXPECT_EQ(write_whole_file(at("dangling"), "made"), "");
  EXPECT_EQ(contents(at("not-yet")), "made");
  fs::create_symlink("loop", at("loop"));
  EXPECT_NE(write_whole_file(at("loop"), "x"), "");
}

TEST_F(WholeFile, AnExistingFileSurvivesAFullDisk) {
  std::ofstream(at("report")) << "precious";
  // A limit on file size stands for a full disk.
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = write_whole_file(at("report"), std::string(5000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);
  EXPECT_EQ(error, at("report") + ": cannot write: File too large");
  EXPECT_EQ(contents(at("report")), "precious");
  EXPECT_EQ(entries(), 1);
}

TEST_F(WholeFile, DevicesAndPipesAreWrittenDirectly) {
  EXPECT_EQ(write_whole_file("/dev/null", "x"), "");
  EXPECT_EQ(write_whole_file("/dev/full", "x"), "/dev/full: cannot write: No space left on device");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(write_whole_file("/dev/fd/" + std::to_string(ends[1]), "through"), "");
  char got[8] = {};
  EXPECT_EQ(read(ends[0], got, sizeof got), 7);
  EXPECT_STREQ(got, "through");
  EXPECT_EQ(cannot_write("/dev/fd/" + std::to_string(ends[1])), "");
  EXPECT_NE(cannot_write("/dev/fd/" + std::to_string(ends[0])), "");
  close(ends[0]);
  close(ends[1]);
}

TEST_F(WholeFile, DashIsStandardOutput) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(write_whole_file("-", "to stdout"), "");
  EXPECT_EQ(write_whole_file("/dev/stdout", ", twice"), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "to stdout, twice");
}

TEST_F(WholeFile, SaysBeforehandWhatCannotBeWritten) {
  EXPECT_EQ(cannot_write(at("new")), "");
  EXPECT_EQ(cannot_write(""), "the name of the file is empty");
  EXPECT_EQ(cannot_write(directory_), directory_.string() + ": cannot write: Is a directory");
  EXPECT_NE(cannot_write(at("new/")), "");
  EXPECT_EQ(cannot_write(at("no/such")), at("no/such") + ": cannot write to directory '" +
                                             at("no") + "': No such file or directory");
  std::ofstream(at("file")) << "x";
  EXPECT_EQ(cannot_write(at("file/below")), at("file/below") + ": cannot write: Not a directory");
  EXPECT_EQ(entries(), 1);
}

TEST_F(WholeFile, RespectsReadOnlyFilesAndDirectories) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  std::ofstream(at("file")) << "x";
  fs::permissions(at("file"), fs::perms(0400));
  EXPECT_NE(write_whole_file(at("file"), "y"), "");
  fs::permissions(directory_, fs::perms(0500));
  EXPECT_NE(cannot_write(at("new")), "");
  fs::permissions(directory_, fs::perms(0700));
  EXPECT_EQ(contents(at("file")), "x");
}

}  // namespace
}  // namespace nbdcheck
