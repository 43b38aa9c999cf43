#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "nbdcheck/file_calls.hpp"

namespace nbdcheck {
namespace {

using Kind = FileCall::Kind;
namespace fs = std::filesystem;

class FileCalls : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "nbdcheck-calls-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = fs::canonical(name);
    disk_ = directory_ / "disk.img";
    std::ofstream(disk_) << std::string(8192, 'x');
  }
  void TearDown() override { fs::remove_all(directory_); }

  // Finds runs of 'P'.
  static std::vector<Piece> find_p(std::span<const std::byte> bytes) {
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != std::byte{'P'}) continue;
      std::size_t end = i;
      while (end < bytes.size() && bytes[end] == std::byte{'P'}) ++end;
      pieces.push_back({1, 0, i, end - i});
      i = end;
    }
    return pieces;
  }

  void watch(const std::function<void()>& body, bool reads = false) {
    auto started =
        FileCallWatch::start({.roots = {directory_.string()}, .recognise = find_p, .reads = reads});
    ASSERT_TRUE(started);
    watch_ = std::move(*started);
    const auto ran = watch_->run(body);
    if (!ran) GTEST_SKIP() << ran.error();
    calls_ = watch_->calls();
  }

  [[nodiscard]] std::vector<Kind> kinds() const {
    std::vector<Kind> all;
    for (const FileCall& call : calls_) all.push_back(call.kind);
    return all;
  }
  [[nodiscard]] int open_disk(int flags = 0) const {
    return ::open(disk_.c_str(), O_RDWR | O_CLOEXEC | flags);
  }

  fs::path directory_;
  fs::path disk_;
  std::unique_ptr<FileCallWatch> watch_;
  std::vector<FileCall> calls_;
};

TEST_F(FileCalls, SeesAWriteAndWhatItCarries) {
  const std::string data = "ab" + std::string(100, 'P') + "c";
  ssize_t written = 0;
  int synced = -1;
  watch([&] {
    const int fd = open_disk();
    written = ::pwrite(fd, data.data(), data.size(), 4000);
    synced = ::fdatasync(fd);
    ::close(fd);
  });
  EXPECT_EQ(written, 103);
  EXPECT_EQ(synced, 0);
  ASSERT_EQ(kinds(), (std::vector{Kind::write, Kind::sync}));
  EXPECT_EQ(calls_[0].begin, 4000U);
  EXPECT_EQ(calls_[0].end, 4103U);
  EXPECT_FALSE(calls_[0].durable);
  ASSERT_EQ(calls_[0].pieces.size(), 1U);
  EXPECT_EQ(calls_[0].pieces[0].at, 4002U);
  EXPECT_EQ(calls_[0].pieces[0].size, 100U);
  EXPECT_EQ(calls_[0].text, "pwrite(disk.img, 103 bytes, offset 4000) = 103");
  EXPECT_EQ(calls_[1].file, calls_[0].file);
  EXPECT_EQ(calls_[1].begin, 0U);
  ASSERT_EQ(watch_->files().size(), 1U);
  EXPECT_TRUE(watch_->files()[0].backing);
  EXPECT_EQ(watch_->files()[0].path, disk_);
  EXPECT_TRUE(watch_->complete());
}

TEST_F(FileCalls, KnowsTheOffsetsOfPlainAndVectorWrites) {
  watch([&] {
    const int fd = open_disk();
    ::lseek(fd, 100, SEEK_SET);
    (void)!::write(fd, "PPPP", 4);
    std::array<char, 2> a{'a', 'b'};
    std::array<char, 3> b{'P', 'P', 'P'};
    const std::array<iovec, 2> list{{{a.data(), 2}, {b.data(), 3}}};
    (void)!::writev(fd, list.data(), 2);
    (void)!::pwritev(fd, list.data(), 2, 5000);
    ::close(fd);
  });
  ASSERT_EQ(calls_.size(), 3U);
  EXPECT_EQ(calls_[0].begin, 100U);
  EXPECT_EQ(calls_[1].begin, 104U);
  EXPECT_EQ(calls_[1].end, 109U);
  EXPECT_EQ(calls_[1].pieces.at(0).at, 106U);
  EXPECT_EQ(calls_[2].begin, 5000U);
  EXPECT_EQ(calls_[2].pieces.at(0).at, 5002U);
}

TEST_F(FileCalls, SeesStdioWhenItWrites) {
  std::size_t before_flush = 99;
  watch([&] {
    std::FILE* file = std::fopen(disk_.c_str(), "r+");
    std::fputs("PPPPPPPP", file);
    before_flush = watch_->mark();
    std::fflush(file);
    std::fclose(file);
  });
  EXPECT_EQ(before_flush, 0U);
  ASSERT_EQ(calls_.size(), 1U);
  EXPECT_EQ(calls_[0].pieces.at(0).size, 8U);
}

TEST_F(FileCalls, TellsWhatNeedsNoSync) {
  watch([&] {
    const int fd = open_disk(O_DSYNC);
    (void)!::pwrite(fd, "P", 1, 0);
    ::close(fd);
    const int plain = open_disk();
    const iovec one{const_cast<char*>("P"), 1};
    (void)!::pwritev2(plain, &one, 1, 0, RWF_DSYNC);
    (void)!::pwritev2(plain, &one, 1, 0, 0);
    ::sync_file_range(plain, 0, 100, SYNC_FILE_RANGE_WRITE);  // promises nothing
    ::close(plain);
  });
  ASSERT_EQ(calls_.size(), 3U);
  EXPECT_TRUE(calls_[0].durable);
  EXPECT_TRUE(calls_[1].durable);
  EXPECT_FALSE(calls_[2].durable);
}

TEST_F(FileCalls, FindsTheFileOfAMapping) {
  watch([&] {
    const int fd = open_disk();
    void* map = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    static_cast<char*>(map)[4096] = 'P';
    ::msync(static_cast<char*>(map) + 4096, 4096, MS_ASYNC);
    ::msync(static_cast<char*>(map) + 4096, 4096, MS_SYNC);
    ::munmap(map, 8192);
  });
  ASSERT_EQ(kinds(), (std::vector{Kind::map, Kind::sync}));
  EXPECT_EQ(calls_[1].file, calls_[0].file);
  EXPECT_EQ(calls_[1].begin, 4096U);
  EXPECT_EQ(calls_[1].end, 8192U);
  EXPECT_EQ(std::ifstream(disk_).seekg(4096).get(), 'P');
}

TEST_F(FileCalls, SeesHolesAndCopies) {
  watch([&] {
    const int fd = open_disk();
    ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 512, 1024);
    ::fallocate(fd, 0, 0, 8192);  // changes nothing
    (void)!::pwrite(fd, "PP", 2, 0);
    const int other = ::open((directory_ / "copy").c_str(), O_WRONLY | O_CREAT, 0600);
    off_t from = 0;
    off_t to = 10;
    ::copy_file_range(fd, &from, other, &to, 2, 0);
    ::close(other);
    ::close(fd);
  });
  ASSERT_EQ(kinds(), (std::vector{Kind::clear, Kind::write, Kind::write}));
  EXPECT_EQ(calls_[0].begin, 512U);
  EXPECT_EQ(calls_[0].end, 1536U);
  EXPECT_EQ(calls_[2].begin, 10U);
  EXPECT_EQ(calls_[2].pieces.at(0).at, 10U);
  EXPECT_NE(calls_[2].file, calls_[1].file);
}

TEST_F(FileCalls, WatchesThreadsAndLetsProcessesBe) {
  int status = -1;
  watch([&] {
    std::thread([&] {
      const int fd = open_disk();
      (void)!::pwrite(fd, "P", 1, 0);
      ::close(fd);
    }).join();
    const pid_t pid = ::fork();
    if (pid == 0) {
      const int fd = open_disk();
      const bool good = ::pwrite(fd, "Q", 1, 1) == 1 && ::fsync(fd) == 0;
      ::_exit(good ? 0 : 1);
    }
    ::waitpid(pid, &status, 0);
  });
  EXPECT_EQ(status, 0);
  ASSERT_EQ(kinds(), (std::vector{Kind::write, Kind::sync}));
  EXPECT_EQ(calls_[1].file, -1);  // of any file: the benefit of the doubt
}

TEST_F(FileCalls, MakesCallsFail) {
  std::vector<long> results;
  std::array<char, 100> buffer{};
  int lasting = 0;
  watch(
      [&] {
        const int fd = open_disk();
        const auto note = [&](long value) { results.push_back(value < 0 ? -errno : value); };
        watch_->inject(FileFault::short_write, 1);
        note(::pwrite(fd, buffer.data(), 100, 0));
        note(::pwrite(fd, buffer.data(), 100, 0));
        watch_->inject(FileFault::interrupted_write, 1);
        note(::pwrite(fd, buffer.data(), 100, 0));
        watch_->inject(FileFault::disk_full, 1);
        note(::pwrite(fd, buffer.data(), 100, 0));
        watch_->inject(FileFault::sync_fails, 2);
        note(::fsync(fd));
        note(::fdatasync(fd));
        note(::fsync(fd));
        lasting = watch_->injected();
        watch_->inject(FileFault::short_read, 1);
        note(::pread(fd, buffer.data(), 100, 0));
        watch_->inject(FileFault::interrupted_read, 1);
        note(::pread(fd, buffer.data(), 100, 0));
        // A file that is not the disk's has no part in it.
        watch_->inject(FileFault::short_write, 1);
        std::FILE* elsewhere = std::tmpfile();
        note(::pwrite(::fileno(elsewhere), buffer.data(), 100, 0));
        std::fclose(elsewhere);
        ::close(fd);
      },
      true);
  if (IsSkipped()) return;
  EXPECT_EQ(results, (std::vector<long>{50, 100, -EINTR, -ENOSPC, -EIO, -EIO, 0, 50, -EINTR, 100}));
  EXPECT_EQ(lasting, 2);
}

TEST_F(FileCalls, GoesOnWhenAllDescriptorsAreClosed) {
  // In a process of its own: gtest needs its descriptors.
  const pid_t pid = ::fork();
  if (pid == 0) {
    auto watching = FileCallWatch::start({.roots = {directory_.string()}});
    bool good = false;
    const auto ran = (*watching)->run([&] {
      ::close_range(3, UINT_MAX, 0);
      const int fd = open_disk();
      good = ::pwrite(fd, "P", 1, 0) == 1 && ::fsync(fd) == 0 && !(*watching)->complete();
    });
    ::_exit(ran ? (good ? 0 : 1) : 77);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP();
  EXPECT_EQ(status, 0);
}

TEST_F(FileCalls, SaysWhyItCannotWatch) {
  // A container whose own filter forbids seccomp(2).
  const pid_t pid = ::fork();
  if (pid == 0) {
    sock_filter refuse[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog filter{4, refuse};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(77);
    bool ran = false;
    auto watching = FileCallWatch::start({.roots = {directory_.string()}});
    const auto result = (*watching)->run([&] { ran = true; });
    ::_exit(!ran && !result && !result.error().empty() ? 0 : 1);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP();
  EXPECT_EQ(status, 0);
}

TEST_F(FileCalls, SignalsDoNotRepeatACall) {
  constexpr int writes = 300;
  watch([&] {
    static std::atomic<int> taken;
    struct sigaction action {};
    action.sa_handler = [](int) { ++taken; };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGURG, &action, nullptr);
    const int fd = ::open((directory_ / "log").c_str(), O_WRONLY | O_CREAT, 0600);
    std::atomic<bool> stop = false;
    const pthread_t self = ::pthread_self();
    std::thread nuisance([&] {
      while (!stop) ::pthread_kill(self, SIGURG);
    });
    for (int i = 0; i < writes; ++i) (void)!::write(fd, "0123456789", 10);
    stop = true;
    nuisance.join();
    ::close(fd);
    ::signal(SIGURG, SIG_DFL);
  });
  EXPECT_EQ(fs::file_size(directory_ / "log"), 10U * writes);
}

}  // namespace
}  // namespace nbdcheck
