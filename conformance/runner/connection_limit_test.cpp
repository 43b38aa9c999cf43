#include "runner/connection_limit.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

namespace nbdcheck {
namespace {

std::mutex mutex;
std::condition_variable changed;
unsigned room = 0;
unsigned taken = 0;
unsigned most_taken = 0;
bool refuses = false;
bool starts_late = false;  // the first of all is slow, and waits for nobody

void* open_handle(int /*readonly*/) {
  std::unique_lock lock(mutex);
  if (refuses && taken >= room) return nullptr;
  if (starts_late && taken == 1 && room == 0) {
    room = 100;
    changed.wait_for(lock, std::chrono::milliseconds(1200));
  }
  changed.wait(lock, [] { return taken < room || starts_late; });
  most_taken = std::max(most_taken, ++taken);
  return &room;
}

void close_handle(void* /*handle*/) {
  const std::lock_guard lock(mutex);
  --taken;
  changed.notify_all();
}

void* init() {
  static struct nbdkit_plugin plugin {};
  plugin._struct_size = sizeof plugin;
  plugin._api_version = NBDKIT_API_VERSION;
  plugin._thread_model = NBDKIT_THREAD_MODEL_PARALLEL;
  plugin.name = "pool";
  plugin.open = open_handle;
  plugin.close = close_handle;
  plugin.get_size = [](void*) -> int64_t { return 512; };
  plugin.pread = [](void*, void*, uint32_t, uint64_t, uint32_t) { return 0; };
  return &plugin;
}

Subject count(unsigned so_many) {
  room = so_many;
  taken = most_taken = 0;
  NullObserver observer;
  auto server = Server::adopt(init, {}, observer);
  if (!server) throw std::runtime_error(server.error().message);
  if (!(*server)->configure({}) || !(*server)->start()) throw std::runtime_error("not started");
  Subject subject;
  count_connections(**server, "", subject);
  EXPECT_EQ(taken, 0U);
  (*server)->stop();
  return subject;
}

TEST(ConnectionLimit, OneThatWaitsIsFound) {
  for (const unsigned limit : {1U, 3U}) {
    const Subject subject = count(limit);
    EXPECT_EQ(subject.connections_seen, limit);
    EXPECT_TRUE(subject.more_wait);
    EXPECT_EQ(most_taken, limit);
  }
}

TEST(ConnectionLimit, NoneIsFoundWhereThereIsRoom) {
  const Subject subject = count(1000);
  EXPECT_GE(subject.connections_seen, 1U);
  EXPECT_EQ(subject.connections_seen, most_taken);
  EXPECT_FALSE(subject.more_wait);
}

TEST(ConnectionLimit, OneThatRefusesDoesNotWait) {
  refuses = true;
  const Subject subject = count(2);
  refuses = false;
  EXPECT_EQ(subject.connections_seen, 2U);
  EXPECT_FALSE(subject.more_wait);
}

TEST(ConnectionLimit, OneSlowOpenIsNoLimit) {
  starts_late = true;
  const Subject subject = count(0);
  starts_late = false;
  EXPECT_EQ(subject.connections_seen, 1U);
  EXPECT_FALSE(subject.more_wait);
}

}  // namespace
}  // namespace nbdcheck
