#include "runner/plan_job.hpp"

#include <gtest/gtest.h>

namespace nbdcheck {
namespace {

Subject writable(std::uint64_t size) {
  Subject subject;
  subject.info.size = size;
  subject.info.can_write = subject.info.can_flush = subject.info.can_trim = true;
  subject.info.zero = zero_native;
  subject.info.fua = fua_native;
  subject.info.cache = cache_native;
  subject.info.can_fast_zero = true;
  return subject;
}

Operation op(OpKind kind, std::uint64_t offset = 0, std::uint32_t count = 0,
             std::uint8_t flags = 0) {
  Operation made{.kind = kind, .flags = flags};
  made.offset = offset;
  made.count = count;
  return made;
}

TEST(Divergence, NoneWhereThePlanApplies) {
  Plan plan;
  plan.operations = {op(OpKind::open), op(OpKind::write, 0, 512, command_flag::fua),
                     op(OpKind::read, 512, 512), op(OpKind::flush), op(OpKind::close)};
  EXPECT_EQ(where_it_diverges(plan, writable(1024)), "");
}

TEST(Divergence, NamesTheFirstOperationOutsideOfTheExport) {
  Plan plan;
  plan.operations = {op(OpKind::open), op(OpKind::read, 0, 512), op(OpKind::read, 513, 512),
                     op(OpKind::read, 4096, 512)};
  const std::string where = where_it_diverges(plan, writable(1024));
  EXPECT_TRUE(where.starts_with("operation 3, ")) << where;
  EXPECT_NE(where.find("1024 bytes"), std::string::npos) << where;
}

TEST(Divergence, NamesWhatIsNoLongerOffered) {
  Subject subject = writable(1024);
  subject.info.can_trim = false;
  Plan plan;
  plan.operations = {op(OpKind::open), op(OpKind::trim, 0, 512)};
  EXPECT_NE(where_it_diverges(plan, subject).find("trim is not offered"), std::string::npos);
  subject.info.can_write = false;
  EXPECT_NE(where_it_diverges(plan, subject).find("read-only"), std::string::npos);
  plan.operations = {op(OpKind::read, 0, 512)};
  EXPECT_NE(where_it_diverges(plan, subject).find("not open"), std::string::npos);
}

}  // namespace
}  // namespace nbdcheck
