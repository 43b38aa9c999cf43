// The real nbdkit beside us: that it answers, and that whatever goes wrong with
// it is said in one line and leaves nothing behind.
#include "nbdcheck/nbdkit.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "nbdcheck/types.hpp"
#include "plugin/temporary_directory.hpp"

namespace nbdcheck {
namespace {

using Kind = NbdkitTrouble::Kind;
using std::chrono::milliseconds;

// A zombie is dead: whose child it was by then decides when it is reaped.
bool lives(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return false;
  const auto name_end = line.rfind(')');
  return name_end != std::string::npos && line.substr(name_end + 2, 1) != "Z";
}

class Nbdkit : public testing::Test {
 protected:
  void SetUp() override {
    auto found = NbdkitProgram::find("");
    if (!found) GTEST_SKIP() << found.error().message;
    program_ = *found;
  }

  // An executable that tells nbdcheck that it is nbdkit, and then does `body`.
  NbdkitProgram impostor(const std::string& body, const std::string& minor = "32") {
    const std::string file = directory_.write(
        "nbdkit",
        "#!/bin/sh\nif [ \"$1\" = --dump-config ]; then\n  echo version=1." + minor +
            ".5; echo version_major=1; echo version_minor=" + minor + "; exit\nfi\n" + body + "\n",
        true);
    NbdkitProgram program = program_;
    program.path = file;
    return program;
  }

  [[nodiscard]] NbdkitOptions ramdisk(std::vector<std::string> arguments = {"size=1M"}) const {
    return {.plugin = RAMDISK_PLUGIN,
            .arguments = std::move(arguments),
            .directory = directory_.path()};
  }

  [[nodiscard]] bool nothing_left() const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path()))
      if (entry.path().filename().string().starts_with("nbdkit.")) return false;
    return true;
  }

  TemporaryDirectory directory_;
  NbdkitProgram program_;
};

TEST_F(Nbdkit, ServesThroughTheTargetInterface) {
  auto nbdkit = NbdkitProcess::start(program_, ramdisk());
  ASSERT_TRUE(nbdkit.has_value()) << nbdkit.error().message;
  NbdkitTarget target(**nbdkit);
  {
    auto session = target.open("");
    ASSERT_TRUE(session.has_value()) << session.error().message;
    Session& s = **session;
    EXPECT_EQ(s.info().size, 1U << 20);
    EXPECT_TRUE(s.info().can_write && s.info().can_flush && s.info().can_trim);
    EXPECT_TRUE(s.info().can_extents);
    std::array<std::byte, 512> data{};
    data.fill(std::byte{0x5a});
    EXPECT_TRUE(s.write(data, 4096, command_flag::fua).ok());
    std::array<std::byte, 512> back{};
    EXPECT_TRUE(s.read(back, 4096, 0).ok());
    EXPECT_EQ(data, back);
    EXPECT_TRUE(s.zero(256, 4096, 0).ok());
    EXPECT_TRUE(s.trim(65536, 65536, 0).ok());
    EXPECT_TRUE(s.cache(4096, 0).ok());
    EXPECT_TRUE(s.flush().ok());
    ExtentList list(0, 1U << 20);
    ASSERT_TRUE(s.extents(1U << 20, 0, 0, list).ok());
    std::uint64_t covered = 0;
    for (const Extent& extent : list.extents()) covered += extent.length;
    EXPECT_EQ(covered, 1U << 20);
    // What the server refuses, as the client sees it.
    EXPECT_EQ(s.read(back, 1U << 20, 0).error, EINVAL);
    EXPECT_EQ(s.write(data, 1U << 20, 0).error, ENOSPC);
  }
  const int pid = (*nbdkit)->pid();
  EXPECT_TRUE((*nbdkit)->stop().has_value());
  nbdkit->reset();
  EXPECT_FALSE(lives(pid));
  EXPECT_TRUE(nothing_left());
}

TEST_F(Nbdkit, KeepsManyRequestsInFlightOnSeveralConnections) {
  auto nbdkit = NbdkitProcess::start(program_, ramdisk());
  ASSERT_TRUE(nbdkit.has_value()) << nbdkit.error().message;
  NbdkitTarget target(**nbdkit);
  constexpr int connections = 4;
  constexpr std::size_t depth = 32;
  constexpr std::size_t size = 4096;
  std::vector<std::unique_ptr<NbdkitSession>> sessions;
  std::vector<std::byte> buffers(connections * depth * size);
  for (int c = 0; c < connections; ++c) {
    auto session = target.connect("");
    ASSERT_TRUE(session.has_value()) << session.error().message;
    sessions.push_back(std::move(*session));
  }
  const auto buffer = [&](std::size_t c, std::size_t i) {
    return std::span(buffers).subspan((c * depth + i) * size, size);
  };
  for (std::size_t c = 0; c < connections; ++c)
    for (std::size_t i = 0; i < depth; ++i) {
      std::memset(buffer(c, i).data(), static_cast<int>(c * depth + i + 1), size);
      sessions[c]->submit(
          {.command = Command::write, .offset = (c * depth + i) * size, .data = buffer(c, i)});
    }
  for (auto& session : sessions) {
    EXPECT_EQ(session->in_flight(), depth);
    std::vector<std::uint64_t> tickets;
    while (const auto done = session->next()) {
      EXPECT_TRUE(done->reply.ok());
      tickets.push_back(done->ticket);
    }
    std::sort(tickets.begin(), tickets.end());
    EXPECT_EQ(tickets.size(), depth);
    EXPECT_EQ(std::unique(tickets.begin(), tickets.end()), tickets.end());
  }
  std::vector<std::byte> whole(buffers.size());
  ASSERT_TRUE(sessions[0]->read(whole, 0, 0).ok());
  EXPECT_EQ(whole, buffers);
}

TEST_F(Nbdkit, ListsExportsAndDumpsThePlugin) {
  NbdkitOptions options = ramdisk();
  auto dump = NbdkitProcess::dump_plugin(program_, options);
  ASSERT_TRUE(dump.has_value()) << dump.error().message;
  EXPECT_NE(dump->find("\nname=ramdisk\n"), std::string::npos);
  auto nbdkit = NbdkitProcess::start(program_, options);
  ASSERT_TRUE(nbdkit.has_value()) << nbdkit.error().message;
  const auto list = NbdkitTarget(**nbdkit).list();
  ASSERT_TRUE(list.has_value()) << list.error().message;
  EXPECT_EQ(list->size(), 1U);
}

TEST_F(Nbdkit, TakesASocketPathOfAnyLength) {
  NbdkitOptions options = ramdisk();
  options.directory += "/" + std::string(120, 'd') + "/" + std::string(120, 'e');
  std::filesystem::create_directories(options.directory);
  auto nbdkit = NbdkitProcess::start(program_, options);
  ASSERT_TRUE(nbdkit.has_value()) << nbdkit.error().message;
  EXPECT_TRUE(NbdkitTarget(**nbdkit).open("").has_value());
  EXPECT_TRUE((*nbdkit)->stop().has_value());
  nbdkit->reset();
  EXPECT_TRUE(nothing_left());
}

TEST_F(Nbdkit, IsMissing) {
  const auto found = NbdkitProgram::find(directory_.path() + "/nowhere");
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().kind, Kind::missing);
  EXPECT_NE(found.error().message.find("/nowhere"), std::string::npos);
}

TEST_F(Nbdkit, IsTooOld) {
  const auto found = NbdkitProgram::find(impostor("", "22").path);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().kind, Kind::too_old);
  EXPECT_NE(found.error().message.find("1.22.5"), std::string::npos);
  EXPECT_TRUE(NbdkitProgram::find(impostor("", "24").path).has_value());
  const auto other = NbdkitProgram::find("/bin/true");
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().kind, Kind::too_old);
}

TEST_F(Nbdkit, RefusesThePlugin) {
  const auto nbdkit = NbdkitProcess::start(program_, ramdisk({"size=nonsense"}));
  ASSERT_FALSE(nbdkit.has_value());
  EXPECT_EQ(nbdkit.error().kind, Kind::refused);
  EXPECT_NE(nbdkit.error().message.find("nonsense"), std::string::npos) << nbdkit.error().message;
  EXPECT_TRUE(nothing_left());
}

TEST_F(Nbdkit, HangsAtTheStart) {
  NbdkitOptions options = ramdisk();
  options.limit = milliseconds(200);
  const std::string pid_file = directory_.path() + "/sleeper";
  const NbdkitProgram program =
      impostor("sleep 1000 & echo $! > " + pid_file + "\necho waiting >&2\nwait");
  const auto nbdkit = NbdkitProcess::start(program, options);
  ASSERT_FALSE(nbdkit.has_value());
  EXPECT_EQ(nbdkit.error().kind, Kind::hung);
  EXPECT_EQ(nbdkit.error().log, "waiting\n");
  int sleeper = 0;
  ASSERT_EQ(std::fscanf(std::fopen(pid_file.c_str(), "r"), "%d", &sleeper), 1);
  // It is an orphan now, and somebody else's to reap.
  for (int i = 0; i < 1000 && lives(sleeper); ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_FALSE(lives(sleeper));
}

// A signal takes its time to arrive, and nbdkit may well answer until then.
int read_until_it_fails(Session& session) {
  std::array<std::byte, 512> data{};
  for (;;) {
    if (const int error = session.read(data, 0, 0).error; error != 0) return error;
  }
}

TEST_F(Nbdkit, DiesInTheMiddle) {
  auto nbdkit = NbdkitProcess::start(program_, ramdisk());
  ASSERT_TRUE(nbdkit.has_value()) << nbdkit.error().message;
  NbdkitTarget target(**nbdkit);
  auto session = target.connect("");
  ASSERT_TRUE(session.has_value());
  ::kill((*nbdkit)->pid(), SIGABRT);
  EXPECT_EQ(read_until_it_fails(**session), ENOTCONN);
  std::array<std::byte, 512> data{};
  EXPECT_EQ((*session)->read(data, 0, 0).error, ENOTCONN);
  EXPECT_FALSE((*session)->lost().empty());
  const auto trouble = (*nbdkit)->trouble();
  ASSERT_TRUE(trouble.has_value());
  EXPECT_EQ(trouble->kind, Kind::died);
  EXPECT_NE(trouble->message.find("SIGABRT"), std::string::npos) << trouble->message;
  const auto again = target.open("");
  ASSERT_FALSE(again.has_value());
  EXPECT_NE(again.error().message.find("SIGABRT"), std::string::npos) << again.error().message;
  EXPECT_FALSE((*nbdkit)->stop().has_value());
}

TEST_F(Nbdkit, StopsAnswering) {
  NbdkitOptions options = ramdisk();
  options.limit = milliseconds(200);
  auto nbdkit = NbdkitProcess::start(program_, options);
  ASSERT_TRUE(nbdkit.has_value()) << nbdkit.error().message;
  auto session = NbdkitTarget(**nbdkit).connect("");
  ASSERT_TRUE(session.has_value());
  ::kill((*nbdkit)->pid(), SIGSTOP);
  EXPECT_EQ(read_until_it_fails(**session), ENOTCONN);
  EXPECT_NE((*session)->lost().find("no reply"), std::string::npos) << (*session)->lost();
  const auto stopped = (*nbdkit)->stop();
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().kind, Kind::hung);
  const int pid = (*nbdkit)->pid();
  nbdkit->reset();
  EXPECT_FALSE(lives(pid));
  EXPECT_TRUE(nothing_left());
}

TEST_F(Nbdkit, OutlivesTheThreadThatStartedIt) {
  tl::expected<std::unique_ptr<NbdkitProcess>, NbdkitTrouble> nbdkit;
  std::thread([&] { nbdkit = NbdkitProcess::start(program_, ramdisk()); }).join();
  ASSERT_TRUE(nbdkit.has_value()) << nbdkit.error().message;
  EXPECT_TRUE(NbdkitTarget(**nbdkit).open("").has_value());
  EXPECT_FALSE((*nbdkit)->trouble().has_value());
}

}  // namespace
}  // namespace nbdcheck
