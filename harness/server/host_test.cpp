#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <latch>
#include <thread>

#include "server/interned.hpp"
#include "server/test_plugin.hpp"

// Newer than some installed headers.
extern "C" void nbdkit_disconnect(int force);

namespace nbdcheck::test {
namespace {

class HostTest : public ::testing::Test {
 protected:
  void SetUp() override { reset(); }
  std::byte block[512] = {};
};

TEST_F(HostTest, ExportNameIsKnownFromOpenToClose) {
  add_all();
  std::map<Callback, std::string> names;
  std::map<Callback, int> tls;
  script.during = [&](Callback callback) {
    const char* export_name = nbdkit_export_name();
    names[callback] = export_name == nullptr ? "NULL" : export_name;
    tls[callback] = nbdkit_is_tls();
  };
  script.text = "main";
  {
    Running running;
    Connection& connection = running.open("");
    EXPECT_TRUE(connection.read(block, 0).ok());
    connection.close();
    auto other = running.server->connect().value();
    EXPECT_TRUE(other->list_exports());
  }
  for (const Callback callback : {Callback::open, Callback::can_write, Callback::pread,
                                  Callback::close, Callback::export_description}) {
    EXPECT_EQ(names[callback], "main") << name(callback);
    EXPECT_EQ(tls[callback], 0) << name(callback);
  }
  for (const Callback callback :
       {Callback::load, Callback::get_ready, Callback::preconnect, Callback::list_exports}) {
    EXPECT_EQ(names[callback], "NULL") << name(callback);
    EXPECT_EQ(tls[callback], -1) << name(callback);
  }
  EXPECT_EQ(names[Callback::default_export], "NULL");
  EXPECT_EQ(tls[Callback::default_export], 0);
}

TEST_F(HostTest, NoContextIsAnIncident) {
  add(Callback::preconnect);
  script.during = [](Callback callback) {
    if (callback == Callback::preconnect) nbdkit_is_tls();
    if (callback == Callback::pread) std::thread([] { nbdkit_export_name(); }).join();
  };
  Running running;
  EXPECT_TRUE(running.open().read(block, 0).ok());
  EXPECT_EQ(running.recorder.incidents(), Incidents(2, IncidentKind::no_context));
  EXPECT_EQ(running.recorder.errors().size(), 2U);
}

TEST_F(HostTest, PeerIsKnownFromPreconnect) {
  add(Callback::preconnect);
  std::int64_t pid = 0;
  script.during = [&](Callback callback) {
    if (callback == Callback::preconnect) pid = nbdkit_peer_pid();
  };
  Running running;
  running.open();
  EXPECT_EQ(pid, ::getpid());
}

TEST_F(HostTest, SetErrorOutsideAConnectionIsErrno) {
  add(Callback::get_ready);
  int seen = 0;
  script.during = [&](Callback callback) {
    if (callback != Callback::get_ready) return;
    errno = 0;
    nbdkit_set_error(ENOSPC);
    seen = errno;
  };
  Running running;
  EXPECT_EQ(seen, ENOSPC);
}

TEST_F(HostTest, InternedStringsLiveAsLongAsTheirConnection) {
  add(Callback::get_ready);
  const char* process = nullptr;
  const char* connection = nullptr;
  script.during = [&](Callback callback) {
    if (callback == Callback::get_ready) process = nbdkit_strdup_intern("process");
    if (callback == Callback::pread) connection = nbdkit_strdup_intern("connection");
  };
  Running running;
  Connection& first = running.open();
  EXPECT_TRUE(first.read(block, 0).ok());
  EXPECT_STREQ(connection, "connection");
  first.close();
  EXPECT_STREQ(process, "process");
}

TEST_F(HostTest, InternedStringsMayHoldAnyByte) {
  InternedStrings strings;
  bool raced = true;
  const char* text = strings.add(std::string_view("a\0b", 3), raced);
  EXPECT_FALSE(raced);
  EXPECT_EQ(std::memcmp(text, "a\0b", 4), 0);
}

TEST_F(HostTest, DebugOnlyWhenVerbose) {
  script.during = [](Callback) { nbdkit_debug("opening"); };
  {
    Running running;
    running.open();
    EXPECT_EQ(running.recorder.errors(), Words{});
  }
  Running running({.verbose = true});
  running.open();
  EXPECT_EQ(running.recorder.errors().front(), "open: debug: opening");
}

// --- the end ---------------------------------------------------------------------------

TEST_F(HostTest, Shutdown) {
  add_all();
  Running running;
  Connection& connection = running.open("x");
  take_log();
  script.during = [](Callback callback) {
    if (callback == Callback::pread) nbdkit_shutdown();
  };
  EXPECT_FALSE(running.server->shutting_down());
  EXPECT_TRUE(connection.read(block, 0).ok());  // the one in progress ends as it would
  EXPECT_TRUE(running.server->shutting_down());
  EXPECT_EQ(connection.read(block, 0).error, ESHUTDOWN);
  EXPECT_EQ(connection.read(block, 1 << 20).error, EINVAL);  // validation comes first
  EXPECT_FALSE(running.server->connect());
  connection.close();
  running.server->stop();
  EXPECT_EQ(take_log(), (Words{"pread 512 0", "cleanup", "unload"}));  // no close
}

TEST_F(HostTest, Disconnect) {
  add_all();
  Running running;
  Connection& connection = running.open("x");
  Connection& other = running.open("x");
  script.during = [](Callback callback) {
    if (callback == Callback::flush) nbdkit_disconnect(0);
  };
  EXPECT_TRUE(connection.flush().ok());
  EXPECT_EQ(connection.read(block, 0).error, ESHUTDOWN);
  EXPECT_TRUE(other.read(block, 0).ok());
  take_log();
  connection.close();
  EXPECT_EQ(take_log(), Words{"close"});
}

TEST_F(HostTest, SleepEndsAtShutdown) {
  std::latch asleep(1);
  int result = 0;
  int error = 0;
  script.during = [&](Callback callback) {
    if (callback != Callback::pread) return;
    asleep.count_down();
    result = nbdkit_nanosleep(1000, 0);
    error = errno;
  };
  Running running;
  Connection& connection = running.open();
  std::thread client([&] { connection.read(block, 0); });
  asleep.wait();
  running.server->shutdown();
  client.join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, ESHUTDOWN);
  EXPECT_EQ(running.recorder.incidents(), Incidents{});
}

TEST_F(HostTest, SleepBeforeServingIsAnIncident) {
  add(Callback::get_ready);
  add(Callback::after_fork);
  int result = -1;
  script.during = [&](Callback callback) {
    if (callback == Callback::get_ready || callback == Callback::after_fork) {
      result = nbdkit_nanosleep(0, 1);
    }
  };
  Running running;
  EXPECT_EQ(result, 0);
  EXPECT_EQ(running.recorder.incidents(), Incidents{IncidentKind::nanosleep_too_early});
}

}  // namespace
}  // namespace nbdcheck::test
