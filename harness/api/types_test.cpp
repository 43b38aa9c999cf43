#include "nbdcheck/types.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <set>

#include "nbdcheck/observer.hpp"

namespace nbdcheck {
namespace {

// Catches an enumerator added in one place only: the tables would shift.
TEST(Names, AreDistinctAndInStep) {
  std::set<std::string_view> seen;
  for (int i = 0; i < static_cast<int>(Callback::count_); ++i) {
    EXPECT_TRUE(seen.insert(name(static_cast<Callback>(i))).second) << i;
  }
  EXPECT_EQ(name(Callback::none), "none");
  EXPECT_EQ(name(Callback::open), "open");
  EXPECT_EQ(name(Callback::can_fua), "can_fua");
  EXPECT_EQ(name(Callback::cache), "cache");
  EXPECT_EQ(name(Callback::count_), "invalid");

  seen.clear();
  for (int i = 0; i < static_cast<int>(IncidentKind::count_); ++i) {
    EXPECT_TRUE(seen.insert(name(static_cast<IncidentKind>(i))).second) << i;
  }
  EXPECT_EQ(name(IncidentKind::return_value), "return-value");
  EXPECT_EQ(name(IncidentKind::extent_wraps), "extent-wraps");
  EXPECT_EQ(name(IncidentKind::filter_function), "filter-function");
  EXPECT_EQ(name(IncidentKind::server_would_abort), "server-would-abort");
  EXPECT_EQ(name(ThreadModel::serialize_requests), "serialize_requests");
  EXPECT_EQ(name(Command::zero), "zero");
}

TEST(WireError, FoldsAsNbdkitDoes) {
  EXPECT_EQ(wire_error(0, 0), 0);
  EXPECT_EQ(wire_error(EROFS, 0), EPERM);
  EXPECT_EQ(wire_error(EPERM, 0), EPERM);
  EXPECT_EQ(wire_error(EFBIG, 0), ENOSPC);
  EXPECT_EQ(wire_error(EDQUOT, 0), ENOSPC);
  EXPECT_EQ(wire_error(EOPNOTSUPP, 0), EINVAL);
  EXPECT_EQ(wire_error(EOPNOTSUPP, command_flag::fast_zero), ENOTSUP);
  EXPECT_EQ(wire_error(EOVERFLOW, 0), EINVAL);
  EXPECT_EQ(wire_error(EOVERFLOW, command_flag::df), EOVERFLOW);
  EXPECT_EQ(wire_error(ESHUTDOWN, 0), ESHUTDOWN);
  EXPECT_EQ(wire_error(ENOENT, ~std::uint32_t{0}), EINVAL);
  EXPECT_EQ(wire_error(-3, 0), EINVAL);
}

}  // namespace
}  // namespace nbdcheck
