// nbdkit_add_extent, nbdkit_add_export and the list functions meant for filters.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "api/api.hpp"
#include "api/fake_host.hpp"
#include "api/filter.hpp"

extern "C" {
nbdkit_extents* nbdkit_extents_new(std::uint64_t start, std::uint64_t end);
void nbdkit_extents_free(nbdkit_extents* extents);
std::size_t nbdkit_extents_count(const nbdkit_extents* extents);
nbdkit_extent nbdkit_get_extent(const nbdkit_extents* extents, std::size_t index);
nbdkit_extents* nbdkit_extents_full(nbdkit_next_ops* next, std::uint32_t count,
                                    std::uint64_t offset, std::uint32_t flags, int* error);
nbdkit_exports* nbdkit_exports_new(void);
void nbdkit_exports_free(nbdkit_exports* exports);
std::size_t nbdkit_exports_count(const nbdkit_exports* exports);
nbdkit_export nbdkit_get_export(const nbdkit_exports* exports, std::size_t index);
}

namespace nbdcheck {
namespace {

class Extents : public ::testing::Test {
 protected:
  Extents() { host_.extents = &list_; }
  FakeHost host_;
  nbdkit_extents list_{ExtentList(4096, 65536)};
};

TEST_F(Extents, AddAndRefuse) {
  EXPECT_EQ(nbdkit_add_extent(&list_, 4096, 100, 0), 0);
  EXPECT_TRUE(host_.incidents.empty());
  errno = 0;
  EXPECT_EQ(nbdkit_add_extent(&list_, 5000, 100, 0), -1);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(host_.errors.size(), 1u);
  EXPECT_TRUE(host_.saw(IncidentKind::extent_not_contiguous));
}

TEST_F(Extents, GapAtTheStart) {
  EXPECT_EQ(nbdkit_add_extent(&list_, 5000, 100, 0), -1);
  EXPECT_EQ(errno, ERANGE);
}

TEST_F(Extents, OddValuesPassButAreReported) {
  EXPECT_EQ(nbdkit_add_extent(&list_, 4096, std::numeric_limits<std::int64_t>::max(), 4), 0);
  EXPECT_TRUE(host_.saw(IncidentKind::extent_wraps));
  EXPECT_TRUE(host_.saw(IncidentKind::extent_type_value));
}

TEST_F(Extents, LastByteOfTheLargestDiskDoesNotWrap) {
  EXPECT_EQ(nbdkit_add_extent(&list_, 4096, std::numeric_limits<std::int64_t>::max() - 4096, 0), 0);
  EXPECT_FALSE(host_.saw(IncidentKind::extent_wraps));
}

TEST_F(Extents, BlockOfTheLastByteOfTheLargestDiskDoesNotWrap) {
  constexpr std::uint64_t end = std::uint64_t{1} << 63;
  EXPECT_EQ(nbdkit_add_extent(&list_, 4096, end - 4096, 0), 0);
  EXPECT_FALSE(host_.saw(IncidentKind::extent_wraps));
  EXPECT_EQ(nbdkit_add_extent(&list_, end, 1, 0), 0);
  EXPECT_TRUE(host_.saw(IncidentKind::extent_wraps));
}

TEST_F(Extents, DeadAndForeignListsAreNotTouched) {
  auto dead = std::make_unique<nbdkit_extents>(nbdkit_extents{ExtentList(0, 1)});
  // As a number: the compiler would rightly object to a dead pointer.
  const volatile auto address = reinterpret_cast<std::uintptr_t>(dead.get());
  dead.reset();
  EXPECT_EQ(nbdkit_add_extent(reinterpret_cast<nbdkit_extents*>(address), 0, 1, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_TRUE(host_.saw(IncidentKind::extents_foreign));
  EXPECT_EQ(nbdkit_add_extent(nullptr, 0, 1, 0), -1);
}

TEST_F(Extents, ThePluginsOwnThreadMayAdd) {
  host_.extents = nullptr;  // what a thread without a callback sees
  EXPECT_EQ(nbdkit_add_extent(&list_, 4096, 100, 0), 0);
  EXPECT_TRUE(host_.incidents.empty());
}

TEST_F(Extents, FilterFunctionsWorkAndAreReported) {
  host_.extents = nullptr;
  nbdkit_extents* own = nbdkit_extents_new(0, 100);
  ASSERT_NE(own, nullptr);
  EXPECT_TRUE(host_.saw(IncidentKind::filter_function));
  EXPECT_EQ(nbdkit_add_extent(own, 0, 10, 3), 0);
  ASSERT_EQ(nbdkit_extents_count(own), 1u);
  EXPECT_EQ(nbdkit_get_extent(own, 0).length, 10u);
  EXPECT_EQ(nbdkit_get_extent(own, 1).length, 0u);
  nbdkit_extents_free(own);
  nbdkit_extents_free(own);  // a second time: reported, not done
  EXPECT_TRUE(host_.saw(IncidentKind::extents_foreign));
  nbdkit_extents_free(nullptr);
  EXPECT_EQ(nbdkit_extents_new(5, 4), nullptr);
  int error = 0;
  EXPECT_EQ(nbdkit_extents_full(nullptr, 1, 0, 0, &error), nullptr);
  EXPECT_EQ(error, ENOTSUP);
}

TEST_F(Extents, TheServersListIsNotFreed) {
  nbdkit_extents_free(&list_);
  EXPECT_TRUE(host_.saw(IncidentKind::server_would_abort));
}

class Exports : public ::testing::Test {
 protected:
  Exports() { host_.exports = &list_; }
  FakeHost host_;
  nbdkit_exports list_;
};

TEST_F(Exports, Limits) {
  const std::string longest(4096, 'n');
  EXPECT_EQ(nbdkit_add_export(&list_, longest.c_str(), longest.c_str()), 0);
  EXPECT_EQ(nbdkit_add_export(&list_, "a", nullptr), 0);
  EXPECT_EQ(list_.list.exports().back(), (Export{"a", ""}));
  errno = 0;
  EXPECT_EQ(nbdkit_add_export(&list_, (longest + "x").c_str(), nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(nbdkit_add_export(&list_, "a", (longest + "x").c_str()), -1);
  EXPECT_EQ(host_.errors.size(), 2u);
  EXPECT_TRUE(host_.saw(IncidentKind::export_refused));
}

TEST_F(Exports, TenThousandAndNoMore) {
  for (std::size_t i = 0; i < ExportList::max_exports; ++i) {
    ASSERT_EQ(nbdkit_add_export(&list_, "same", nullptr), 0);
  }
  EXPECT_EQ(nbdkit_add_export(&list_, "same", nullptr), -1);
  EXPECT_EQ(list_.list.exports().size(), ExportList::max_exports);
}

TEST_F(Exports, NullNameAndForeignList) {
  EXPECT_EQ(nbdkit_add_export(&list_, nullptr, nullptr), -1);
  EXPECT_TRUE(host_.saw(IncidentKind::export_name_null));
  EXPECT_FALSE(host_.saw(IncidentKind::exports_foreign));
  EXPECT_EQ(nbdkit_add_export(nullptr, "a", nullptr), -1);
  EXPECT_TRUE(host_.saw(IncidentKind::exports_foreign));
}

TEST_F(Exports, UseDefault) {
  EXPECT_EQ(nbdkit_use_default_export(&list_), 0);
  EXPECT_TRUE(list_.list.wants_default());
}

TEST_F(Exports, FilterFunctions) {
  host_.exports = nullptr;
  nbdkit_exports* own = nbdkit_exports_new();
  EXPECT_EQ(nbdkit_add_export(own, "a", "b"), 0);
  EXPECT_EQ(nbdkit_exports_count(own), 1u);
  EXPECT_STREQ(nbdkit_get_export(own, 0).description, "b");
  EXPECT_EQ(nbdkit_get_export(own, 1).name, nullptr);
  nbdkit_exports_free(own);
}

}  // namespace
}  // namespace nbdcheck
