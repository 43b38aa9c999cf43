#include "backing/sparse_copy.hpp"

#include <fcntl.h>

#include <cerrno>

#include "backing/temporary.hpp"

namespace nbdcheck {
namespace {

class SparseCopy : public Temporary {};

TEST_F(SparseCopy, KeepsContentsAndMode) {
  const std::string text(3'000'001, 'x');
  write("from", text + std::string(1 << 20, '\0') + "tail");
  std::filesystem::permissions(at("from"), std::filesystem::perms(0440));
  EXPECT_EQ(copy_sparse(at("from"), at("to")), 0);
  EXPECT_EQ(contents(at("to")), contents(at("from")));
  EXPECT_EQ(status_of(at("to")).st_mode & 0777U, 0440U);
}

// Reading a tebibyte of holes takes minutes: the time limit of the test notices.
TEST_F(SparseCopy, OneTebibyteOfHolesIsQuick) {
  constexpr off_t size = off_t{1} << 40;
  const int fd = open(at("from").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (ftruncate(fd, size) != 0) GTEST_SKIP() << "the file system has no large files";
  const off_t places[] = {0, off_t{5} << 30, size - 4096};
  for (const off_t place : places) ASSERT_EQ(pwrite(fd, "data", 4, place), 4);
  close(fd);
  EXPECT_EQ(copy_sparse(at("from"), at("to")), 0);
  EXPECT_EQ(status_of(at("to")).st_size, size);
  EXPECT_LT(allocated_bytes(status_of(at("to"))), 1U << 20);
  const int copy = open(at("to").c_str(), O_RDONLY | O_CLOEXEC);
  for (const off_t place : places) {
    char got[5] = {};
    EXPECT_EQ(pread(copy, got, 4, place), 4);
    EXPECT_STREQ(got, "data");
  }
  close(copy);
}

TEST_F(SparseCopy, EmptyFile) {
  write("from", "");
  EXPECT_EQ(copy_sparse(at("from"), at("to")), 0);
  EXPECT_EQ(status_of(at("to")).st_size, 0);
}

TEST_F(SparseCopy, OverwritesNothing) {
  write("from", "new");
  write("to", "old");
  EXPECT_EQ(copy_sparse(at("from"), at("to")), EEXIST);
  EXPECT_EQ(contents(at("to")), "old");
  EXPECT_EQ(copy_sparse(at("missing"), at("other")), ENOENT);
  EXPECT_EQ(copy_sparse("/dev/zero", at("other")), EINVAL);
  EXPECT_FALSE(std::filesystem::exists(at("other")));
}

TEST_F(SparseCopy, AcrossFileSystems) {
  const std::string other = "/dev/shm/nbdcheck-copy-" + std::to_string(getpid());
  write("from", "across");
  const int error = copy_sparse(at("from"), other);
  if (error == ENOENT || error == EACCES) GTEST_SKIP() << "no /dev/shm";
  EXPECT_EQ(error, 0);
  EXPECT_EQ(contents(other), "across");
  unlink(other.c_str());
}

}  // namespace
}  // namespace nbdcheck
