// The nbdkit_* functions other than parsers, against a host that writes down
// what reaches it.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "api/api.hpp"
#include "api/fake_host.hpp"
#include "api/later.hpp"

namespace nbdcheck {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using CString = std::unique_ptr<char, Free>;

TEST(Messages, KeepErrnoAndUnderstandM) {
  FakeHost host;
  errno = ENOSPC;
  nbdkit_error("cannot %s: %m", "write");
  EXPECT_EQ(errno, ENOSPC);
  ASSERT_EQ(host.errors.size(), 1u);
  EXPECT_EQ(host.errors[0], "cannot write: No space left on device");

  const std::string text(1000, 'x');  // longer than any buffer on the stack
  errno = EIO;
  nbdkit_error("%s: %m", text.c_str());
  EXPECT_EQ(host.errors[1], text + ": Input/output error");
}

TEST(Messages, DebugOnlyWhenVerbose) {
  FakeHost host;
  nbdkit_debug("unseen");
  EXPECT_TRUE(host.debugs.empty());
  host.is_verbose = true;
  nbdkit_debug("seen %d", 1);
  EXPECT_EQ(host.debugs, std::vector<std::string>{"seen 1"});
}

TEST(Messages, SetErrorGoesToTheHost) {
  FakeHost host;
  nbdkit_set_error(EPERM);
  EXPECT_EQ(host.last_error, EPERM);
  EXPECT_TRUE(host.incidents.empty());
  nbdkit_set_error(-5);
  EXPECT_EQ(host.last_error, -5);
  EXPECT_TRUE(host.saw(IncidentKind::errno_not_positive));
}

TEST(Messages, WorkWithoutAHost) {
  errno = 0;
  nbdkit_set_error(EPERM);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(nbdkit_parse_size("1k"), 1024);
  EXPECT_STREQ(nbdkit_strdup_intern("kept"), "kept");
  EXPECT_EQ(nbdkit_export_name(), nullptr);
  EXPECT_EQ(nbdkit_is_tls(), -1);
  EXPECT_EQ(nbdkit_nanosleep(0, 0), -1);
  nbdkit_shutdown();
}

class Password : public ::testing::Test {
 protected:
  Password() {
    std::string pattern = (std::filesystem::temp_directory_path() / "password.XXXXXX").string();
    fd_ = mkstemp(pattern.data());
    path_ = pattern;
  }
  ~Password() override {
    ::close(fd_);
    std::filesystem::remove(path_);
  }
  void write(std::string_view text) { std::ofstream(path_, std::ios::binary) << text; }

  // The password, or "-1" on failure, in which case the pointer must be null.
  static std::string read(const std::string& value) {
    char* password = nullptr;
    char poison = 0;
    password = &poison;
    const int result = nbdkit_read_password(value.c_str(), &password);
    if (result == -1) {
      EXPECT_EQ(password, nullptr);
      return "-1";
    }
    const CString owner(password);
    return password;
  }

  FakeHost host_;
  int fd_ = -1;
  std::string path_;
};

TEST_F(Password, Literal) {
  EXPECT_EQ(read("secret"), "secret");
  EXPECT_EQ(read(""), "");
}

TEST_F(Password, FirstLineOfAFile) {
  write("abc\r\ndef\n");
  EXPECT_EQ(read("+" + path_), "abc\r");
  write("abc");
  EXPECT_EQ(read("+" + path_), "abc");
  write("");
  EXPECT_EQ(read("+" + path_), "");
  write("\n\n");
  EXPECT_EQ(read("+" + path_), "");
  EXPECT_EQ(read("+/no/such/file"), "-1");
  EXPECT_EQ(read("+/"), "-1") << "a directory";
}

TEST_F(Password, DescriptorIsClosed) {
  write("abc\n");
  const int copy = dup(fd_);
  EXPECT_EQ(read("-" + std::to_string(copy)), "abc");
  EXPECT_EQ(dup(copy), -1) << "still open";
  for (const char* value : {"-0", "-1", "-2", "-x", "--5", "-12345"}) {
    EXPECT_EQ(read(value), "-1") << value;
  }
  EXPECT_NE(lseek(STDERR_FILENO, 0, SEEK_CUR) == -1 && errno == EBADF, true);
}

TEST_F(Password, TerminalNeedsStdio) {
  host_.is_stdio_safe = false;
  EXPECT_EQ(read("-"), "-1");
}

TEST(Paths, AbsolutePathJoinsAndNothingMore) {
  FakeHost host;
  const auto absolute = [](const char* path) {
    const CString result(nbdkit_absolute_path(path));
    return result ? std::string(result.get()) : "(null)";
  };
  EXPECT_EQ(absolute("/a/../b"), "/a/../b");
  EXPECT_EQ(absolute("no/./such"), std::filesystem::current_path().string() + "/no/./such");
  EXPECT_EQ(absolute(""), "(null)");
  EXPECT_EQ(absolute(nullptr), "(null)");
  EXPECT_EQ(host.errors.size(), 2u);
}

TEST(Paths, RealpathMustExist) {
  FakeHost host;
  EXPECT_STREQ(CString(nbdkit_realpath("/usr/../usr")).get(), "/usr");
  EXPECT_EQ(nbdkit_realpath("/no/such/file"), nullptr);
  EXPECT_EQ(nbdkit_realpath(""), nullptr);
  EXPECT_EQ(host.errors.size(), 2u);
}

TEST(Intern, CopiesThroughTheHost) {
  FakeHost host;
  std::string text = "abc";
  const char* copy = nbdkit_strdup_intern(text.c_str());
  text = "xyz";
  EXPECT_STREQ(copy, "abc");
  EXPECT_STREQ(nbdkit_strndup_intern("abc", 2), "ab");
  EXPECT_STREQ(nbdkit_strndup_intern("abc", 9), "abc");
  EXPECT_STREQ(nbdkit_printf_intern("%d-%s", 7, "x"), "7-x");
  errno = 0;
  EXPECT_EQ(nbdkit_strdup_intern(nullptr), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(nbdkit_strndup_intern(nullptr, 1), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Control, NanosleepNormalisesAndLimits) {
  FakeHost host;
  EXPECT_EQ(nbdkit_nanosleep(1, 2'500'000'000), 0);
  ASSERT_EQ(host.sleeps.size(), 1u);
  EXPECT_EQ(host.sleeps[0], std::make_pair(3u, 500'000'000u));
  errno = 0;
  EXPECT_EQ(nbdkit_nanosleep(0x7fffffff, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(nbdkit_nanosleep(0x7ffffffe, 999'999'999), 0);
}

TEST(Control, PassesOnShutdownAndDisconnect) {
  FakeHost host;
  nbdkit_shutdown();
  nbdkit_disconnect(1);
  nbdkit_disconnect(0);
  EXPECT_EQ(host.shutdowns, 1);
  EXPECT_EQ(host.disconnects, (std::vector<bool>{true, false}));
  EXPECT_EQ(nbdkit_stdio_safe(), 1);
  host.is_stdio_safe = false;
  EXPECT_EQ(nbdkit_stdio_safe(), 0);
}

TEST(Context, PeerIsThisProcess) {
  FakeHost host;
  EXPECT_EQ(nbdkit_peer_pid(), -1);
  EXPECT_EQ(nbdkit_peer_uid(), -1);
  EXPECT_EQ(nbdkit_peer_gid(), -1);
  EXPECT_EQ(nbdkit_peer_tls_dn(), nullptr);
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  auto* peer = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(nbdkit_peer_name(peer, &length), -1);
  EXPECT_EQ(host.errors.size(), 5u) << "each says why";

  host.connected = true;
  EXPECT_EQ(nbdkit_peer_pid(), getpid());
  EXPECT_EQ(nbdkit_peer_uid(), geteuid());
  EXPECT_EQ(nbdkit_peer_gid(), getegid());
  EXPECT_EQ(nbdkit_peer_name(peer, &length), 0);
  EXPECT_EQ(length, sizeof(sa_family_t));
  EXPECT_EQ(peer->sa_family, AF_UNIX);
  EXPECT_STREQ(CString(nbdkit_peer_tls_dn()).get(), "");
  EXPECT_STREQ(CString(nbdkit_peer_tls_issuer_dn()).get(), "");
}

TEST(LaterDebug, HexdumpShowsRowsAndHexdiffOnlyDifferences) {
  FakeHost host;
  host.is_verbose = true;
  std::string data = "12345678123456781234567812345678";
  nbdkit_debug_hexdump(data.data(), data.size(), "data: ", 0);
  ASSERT_EQ(host.debugs.size(), 2u);
  EXPECT_EQ(host.debugs[1],
            "data: 00000010: 31 32 33 34 35 36 37 38  31 32 33 34 35 36 37 38  "
            "|1234567812345678|");
  host.debugs.clear();
  std::string other = data;
  other[20] = 'X';
  nbdkit_debug_hexdiff(data.data(), other.data(), data.size(), nullptr, 0);
  ASSERT_EQ(host.debugs.size(), 2u);
  EXPECT_EQ(host.debugs[0].substr(0, 10), "-00000010:");
  EXPECT_NE(host.debugs[1].find("1234X678"), std::string::npos);
}

}  // namespace
}  // namespace nbdcheck
