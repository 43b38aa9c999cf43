// Which pairs of callbacks may overlap under which thread model.
//
// Two threads run one callback each.  The first one stays inside its callback
// until the second one got into its own, or until the kernel says that the
// second one sleeps, which it only does at a lock.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "server/test_plugin.hpp"

namespace nbdcheck::test {
namespace {

enum class Act { preconnect, open, read, close };

class Pair {
 public:
  // Whether `second` can get into the plugin while `first` is inside.
  static bool overlap(ThreadModel model, Act first, Act second, bool same_connection) {
    reset();
    add_all();
    table._thread_model = static_cast<int>(model);
    Running running;
    Pair pair(running);
    return pair.run(first, second, same_connection);
  }

 private:
  explicit Pair(Running& running) : running_(running) {}

  // What has to be there before the act itself.
  std::unique_ptr<Connection> prepare(Act act) {
    if (act == Act::preconnect) return nullptr;
    auto connection = running_.server->connect().value();
    if (act != Act::open) connection->open("x").value();
    return connection;
  }

  void perform(Act act, Connection* connection) {
    std::byte block[512];
    switch (act) {
      case Act::preconnect:
        EXPECT_TRUE(running_.server->connect());
        break;
      case Act::open:
        EXPECT_TRUE(connection->open("x"));
        break;
      case Act::read:
        EXPECT_TRUE(connection->read(block, 0).ok());
        break;
      case Act::close:
        connection->close();
        break;
    }
  }

  static Callback callback_of(Act act) {
    switch (act) {
      case Act::preconnect:
        return Callback::preconnect;
      case Act::open:
        return Callback::open;
      case Act::read:
        return Callback::pread;
      case Act::close:
        return Callback::close;
    }
    return Callback::none;
  }

  // Asleep each time one looks, many times in a row: not just for a moment in
  // the allocator.
  static bool is_blocked(int thread) {
    const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
    for (int i = 0; i < 100; ++i) {
      std::ifstream file(path);
      std::string id;
      std::string name;
      char state = '?';
      file >> id >> name >> state;  // a thread of ours has no blank in its name
      if (state != 'S') return false;
      std::this_thread::yield();
    }
    return true;
  }

  bool run(Act first, Act second, bool same_connection) {
    auto a = prepare(first);
    auto own = same_connection ? nullptr : prepare(second);
    Connection* b = same_connection ? a.get() : own.get();

    std::atomic<bool> first_inside{false};
    std::atomic<bool> second_inside{false};
    std::atomic<int> second_thread{0};
    std::atomic<bool> overlapped{false};
    const std::thread::id main = std::this_thread::get_id();
    script.during = [&](Callback callback) {
      if (std::this_thread::get_id() == main && callback == callback_of(first)) {
        first_inside = true;
        while (!second_inside && !(second_thread != 0 && is_blocked(second_thread))) {
          std::this_thread::yield();
        }
        overlapped = second_inside.load();
      } else if (std::this_thread::get_id() != main && callback == callback_of(second)) {
        second_inside = true;
      }
    };
    std::thread other([&] {
      while (!first_inside) std::this_thread::yield();
      second_thread = ::gettid();
      perform(second, b);
    });
    perform(first, a.get());
    other.join();
    script.during = nullptr;
    return overlapped;
  }

  Running& running_;
};

TEST(Gate, Parallel) {
  constexpr auto model = ThreadModel::parallel;
  EXPECT_TRUE(Pair::overlap(model, Act::read, Act::read, true));
  EXPECT_TRUE(Pair::overlap(model, Act::read, Act::read, false));
  EXPECT_TRUE(Pair::overlap(model, Act::read, Act::open, false));
  EXPECT_TRUE(Pair::overlap(model, Act::open, Act::close, false));
}

TEST(Gate, SerializeRequests) {
  constexpr auto model = ThreadModel::serialize_requests;
  EXPECT_FALSE(Pair::overlap(model, Act::read, Act::read, true));
  EXPECT_TRUE(Pair::overlap(model, Act::read, Act::read, false));
  EXPECT_TRUE(Pair::overlap(model, Act::open, Act::open, false));
  EXPECT_TRUE(Pair::overlap(model, Act::close, Act::read, false));
  EXPECT_TRUE(Pair::overlap(model, Act::preconnect, Act::preconnect, false));
}

TEST(Gate, SerializeAllRequests) {
  constexpr auto model = ThreadModel::serialize_all_requests;
  for (const Act first : {Act::open, Act::read, Act::close}) {
    for (const Act second : {Act::open, Act::read, Act::close}) {
      EXPECT_FALSE(Pair::overlap(model, first, second, false));
    }
    EXPECT_TRUE(Pair::overlap(model, first, Act::preconnect, false));
    EXPECT_TRUE(Pair::overlap(model, Act::preconnect, first, false));
  }
  EXPECT_FALSE(Pair::overlap(model, Act::read, Act::read, true));
  EXPECT_TRUE(Pair::overlap(model, Act::preconnect, Act::preconnect, false));
}

TEST(Gate, SerializeConnections) {
  constexpr auto model = ThreadModel::serialize_connections;
  EXPECT_FALSE(Pair::overlap(model, Act::preconnect, Act::preconnect, false));
  EXPECT_FALSE(Pair::overlap(model, Act::close, Act::preconnect, false));
  EXPECT_FALSE(Pair::overlap(model, Act::read, Act::read, true));
}

// The second client gets in when the first one is gone, not when its request is.
TEST(Gate, ConnectionLockIsHeldToTheEnd) {
  reset();
  add_all();
  table._thread_model = static_cast<int>(ThreadModel::serialize_connections);
  Running running;
  Connection& first = running.open("x");
  take_log();
  std::thread second([&] { EXPECT_TRUE(running.server->connect()); });
  std::byte block[512];
  EXPECT_TRUE(first.read(block, 0).ok());
  first.close();
  second.join();
  EXPECT_EQ(take_log(), (Words{"pread 512 0", "close", "preconnect"}));
}

}  // namespace
}  // namespace nbdcheck::test
