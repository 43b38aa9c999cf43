#include "backing/scratch_directory.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "backing/temporary.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

class Scratch : public Temporary {
 protected:
  Scratch() { setenv("TMPDIR", root_.c_str(), 1); }
  ~Scratch() override { unsetenv("TMPDIR"); }
};

TEST_F(Scratch, IsPrivateAndGoesAway) {
  std::string path;
  {
    auto scratch = ScratchDirectory::make();
    ASSERT_TRUE(scratch.has_value()) << scratch.error();
    path = scratch->path();
    EXPECT_TRUE(path.starts_with(root_.string()));
    EXPECT_EQ(status_of(path).st_mode & 0777U, 0700U);
    const auto inner = scratch->subdirectory("one");
    ASSERT_TRUE(inner.has_value());
    std::ofstream(*inner + "/file") << "x";
    EXPECT_FALSE(scratch->subdirectory("one").has_value());
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(Scratch, CanBeRemovedEarlyAndMoved) {
  auto scratch = ScratchDirectory::make();
  ASSERT_TRUE(scratch.has_value());
  ScratchDirectory moved(std::move(*scratch));
  scratch->remove();
  EXPECT_TRUE(fs::exists(moved.path()));
  moved.remove();
  EXPECT_FALSE(fs::exists(moved.path()));
  fs::create_directory(moved.path());  // somebody else's by now
  moved.remove();
  EXPECT_TRUE(fs::exists(moved.path()));
}

TEST_F(Scratch, ForkedCopyLeavesItAlone) {
  auto scratch = ScratchDirectory::make();
  ASSERT_TRUE(scratch.has_value());
  const pid_t child = fork();
  if (child == 0) {
    scratch->remove();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(fs::exists(scratch->path()));
}

TEST_F(Scratch, SaysWhyItCannotBeMade) {
  setenv("TMPDIR", at("missing").c_str(), 1);
  const auto scratch = ScratchDirectory::make();
  ASSERT_FALSE(scratch.has_value());
  EXPECT_EQ(scratch.error(),
            "cannot create a directory in " + at("missing") + ": No such file or directory");
}

class RemoveTree : public Temporary {};

TEST_F(RemoveTree, NeverFollowsLinks) {
  fs::create_directories(at("outside/inner"));
  write("outside/precious", "data");
  fs::create_directories(at("tree/a"));
  fs::create_directory_symlink(at("outside"), at("tree/link"));
  fs::create_directory_symlink(at("outside"), at("tree/a/link"));
  fs::create_symlink(at("outside/precious"), at("tree/a/file"));
  EXPECT_TRUE(remove_tree(at("tree")));
  EXPECT_FALSE(fs::exists(at("tree")));
  EXPECT_EQ(contents(at("outside/precious")), "data");
  EXPECT_TRUE(fs::exists(at("outside/inner")));
  // Nor when the tree itself has become one.
  fs::create_directory_symlink(at("outside"), at("tree"));
  EXPECT_FALSE(remove_tree(at("tree")));
  EXPECT_EQ(contents(at("outside/precious")), "data");
}

TEST_F(RemoveTree, SurvivesMissingPermissions) {
  // Of use only to those who are not root.
  fs::create_directories(at("tree/closed/deeper/deepest"));
  write("tree/closed/deeper/file", "x");
  fs::permissions(at("tree/closed/deeper"), fs::perms(0));
  fs::permissions(at("tree/closed"), fs::perms(0500));
  fs::permissions(at("tree"), fs::perms(0500));
  const pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0) {
      (void)!chown(at("").c_str(), 65534, 65534);
      for (const auto& entry : fs::recursive_directory_iterator(root_)) {
        (void)!lchown(entry.path().c_str(), 65534, 65534);
      }
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(3);
    }
    _exit(remove_tree(at("tree")) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(fs::exists(at("tree")));
}

TEST_F(RemoveTree, GoesDeeperThanThereAreDescriptors) {
  fs::create_directory(at("tree"));
  int fd = open(at("tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int depth = 0; depth < 300; ++depth) {
    ASSERT_EQ(mkdirat(fd, "d", 0700), 0);
    const int inner = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(fd);
    fd = inner;
  }
  close(fd);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_TRUE(remove_tree(at("tree")));
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(RemoveTree, ToleratesNamesOfItsOwnMaking) {
  fs::create_directories(at("tree/.0/x"));
  fs::create_directories(at("tree/a/.0/y"));
  write("tree/a/.0/y/file", "x");
  EXPECT_TRUE(remove_tree(at("tree")));
  EXPECT_TRUE(remove_tree(at("never-there")));
}

}  // namespace
}  // namespace nbdcheck
