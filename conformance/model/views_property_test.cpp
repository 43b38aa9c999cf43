// The views against storages that do what they may, which must never be
// blamed, and storages that do not, which must be found out.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "model/test_storages.hpp"
#include "model/views.hpp"

namespace nbdcheck {
namespace {

using testing::Fault;
using testing::PerConnection;
using testing::Storage;
using testing::WriteBack;
using testing::WriteThrough;

constexpr std::uint64_t size = 24;
constexpr ViewRules shared{.shared = true, .multi_conn = false, .reopens = true};
constexpr ViewRules multi_conn{.shared = true, .multi_conn = true, .reopens = true};
constexpr ViewRules per_connection{.shared = false, .multi_conn = false, .reopens = true};

// One thing a client does; what the numbers mean depends on the kind.
struct Step {
  unsigned kind;
  int connection;
  std::uint64_t offset;
  std::uint64_t count;
};

rc::Gen<Step> any_step() {
  return rc::gen::build<Step>(rc::gen::set(&Step::kind, rc::gen::inRange(0U, 100U)),
                              rc::gen::set(&Step::connection, rc::gen::inRange(0, 3)),
                              rc::gen::set(&Step::offset, rc::gen::inRange<std::uint64_t>(0, size)),
                              rc::gen::set(&Step::count, rc::gen::inRange<std::uint64_t>(1, 12)));
}

void showValue(const Step& step, std::ostream& os) {
  os << "kind " << step.kind << " on " << step.connection << " [" << step.offset << "+"
     << step.count << ")";
}

// Whether the views find fault with the storage.
bool blamed(const std::vector<Step>& steps, ViewRules rules, Storage& storage, Random& random) {
  Views views(size, rules);
  std::uint32_t tag = 0;
  for (const Step& step : steps) {
    const int c = step.connection;
    const std::uint64_t count = std::min(step.count, size - step.offset);
    if (!views.is_open(c)) {
      views.open(c);
      storage.open(c);
    }
    if (step.kind < 40) {
      const auto value = static_cast<std::uint8_t>(++tag);
      const Content content = Content::filled(value, tag);
      const bool fua = step.kind < 8;
      std::vector<std::byte> data(count, std::byte{value});
      if (step.kind >= 36) {
        // Fails, having done a part of it.
        data.resize(random.below(count + 1));
        if (!data.empty()) storage.write(c, step.offset, data, fua);
        views.maybe(c, step.offset, count, content);
      } else {
        storage.write(c, step.offset, data, fua);
        views.set(c, step.offset, count, content, fua);
      }
    } else if (step.kind < 80) {
      std::vector<std::byte> data(count);
      for (std::size_t i = 0; i < count; ++i) data[i] = storage.read(c, step.offset + i);
      if (views.read(c, step.offset, data)) return true;
    } else if (step.kind < 92) {
      storage.flush(c);
      views.flush(c);
    } else {
      storage.close(c);
      views.close(c);
    }
  }
  return false;
}

// A legal storage is never blamed.
template <typename S, typename... Arguments>
void never_blamed(ViewRules rules, Arguments... arguments) {
  const auto steps = *rc::gen::resize(60, rc::gen::container<std::vector<Step>>(any_step()));
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  S storage(size, random, Fault::none, arguments...);
  RC_ASSERT(!blamed(steps, rules, storage, random));
}

RC_GTEST_PROP(LegalStorage, WriteThrough, ()) { never_blamed<WriteThrough>(shared); }
RC_GTEST_PROP(LegalStorage, WriteThroughWithMultiConn, ()) {
  never_blamed<WriteThrough>(multi_conn);
}
RC_GTEST_PROP(LegalStorage, ACacheForEachConnection, ()) { never_blamed<WriteBack>(shared, false); }
RC_GTEST_PROP(LegalStorage, CachesThatAreFlushedTogether, ()) {
  never_blamed<WriteBack>(multi_conn, true);
}
// Promising less than one does is no fault.
RC_GTEST_PROP(LegalStorage, CachesThatAreFlushedTogetherUnannounced, ()) {
  never_blamed<WriteBack>(shared, true);
}
RC_GTEST_PROP(LegalStorage, ADiskForEachConnection, ()) {
  never_blamed<PerConnection>(per_connection);
}

// A faulty one is, in most or many runs of six hundred steps.
template <typename S, typename... Arguments>
int times_blamed(Fault fault, ViewRules rules, Arguments... arguments) {
  int times = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    S storage(size, random, fault, arguments...);
    std::vector<Step> steps;
    for (int i = 0; i < 600; ++i)
      steps.push_back({static_cast<unsigned>(random.below(100)), static_cast<int>(random.below(3)),
                       random.below(size), random.between(1, 12)});
    if (blamed(steps, rules, storage, random)) ++times;
  }
  return times;
}

TEST(FaultyStorage, IsBlamed) {
  EXPECT_GE(times_blamed<WriteThrough>(Fault::forgets_writes, shared), 15);
  EXPECT_GE(times_blamed<WriteThrough>(Fault::forgets_writes, multi_conn), 15);
  EXPECT_GE(times_blamed<WriteThrough>(Fault::writes_neighbour, shared), 15);
  EXPECT_GE(times_blamed<WriteBack>(Fault::flush_drops, shared, false), 15);
  EXPECT_GE(times_blamed<WriteBack>(Fault::flush_drops, multi_conn, true), 15);
  EXPECT_GE(times_blamed<WriteBack>(Fault::fua_stays_cached, shared, false), 10);
  EXPECT_GE(times_blamed<WriteBack>(Fault::fua_stays_cached, multi_conn, true), 15);
  EXPECT_GE(times_blamed<WriteBack>(Fault::flush_is_own, multi_conn, true), 15);
  EXPECT_GE(times_blamed<WriteBack>(Fault::keeps_stale, multi_conn, true), 15);
  EXPECT_GE(times_blamed<PerConnection>(Fault::mixes_connections, per_connection), 15);
  // A promise of multi-conn that is not kept.
  EXPECT_GE(times_blamed<WriteBack>(Fault::none, multi_conn, false), 15);
  EXPECT_GE(times_blamed<PerConnection>(Fault::none, shared), 15);
}

TEST(FaultyStorage, TheSameRunsWithoutTheFaultAreNot) {
  EXPECT_EQ(times_blamed<WriteThrough>(Fault::none, shared), 0);
  EXPECT_EQ(times_blamed<WriteThrough>(Fault::none, multi_conn), 0);
  EXPECT_EQ(times_blamed<WriteBack>(Fault::none, shared, false), 0);
  EXPECT_EQ(times_blamed<WriteBack>(Fault::none, multi_conn, true), 0);
  EXPECT_EQ(times_blamed<PerConnection>(Fault::none, per_connection), 0);
}

}  // namespace
}  // namespace nbdcheck
