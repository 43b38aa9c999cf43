#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>

#include "nbdcheck/status_page.hpp"
#include "server/requests_test.hpp"

namespace nbdcheck::test {
namespace {

constexpr std::uint64_t size = 1 << 20;
constexpr std::uint32_t mebi = 1 << 20;

// --- exceptions ------------------------------------------------------------------

using RequestsDeathTest = Requests;

// While the call is in progress, so that the report can name it.
TEST_F(RequestsDeathTest, AnExceptionEndsTheProcess) {
  begin();
  script.fill = [](std::byte*, std::uint32_t) { throw std::runtime_error("a plugin's own"); };
  EXPECT_DEATH(
      {
        std::set_terminate([] {
          std::fprintf(stderr, "in callback %d\n", static_cast<int>(my_slot().callback.load()));
          std::abort();
        });
        connection->read(block, 0);
      },
      fmt::format("in callback {}\n", static_cast<int>(Callback::pread)));
}

// --- validation ------------------------------------------------------------------

TEST_F(Requests, ReadOnlyComesFirst) {
  add_all();
  begin({.readonly = true});
  EXPECT_EQ(connection->write(block, size, 0xff00).error, EROFS);
  EXPECT_EQ(connection->trim(512, size).error, EROFS);
  EXPECT_EQ(connection->zero(0, 0).error, EROFS);
  EXPECT_TRUE(connection->read(block, 0).ok());
  EXPECT_TRUE(connection->flush().ok());
  EXPECT_EQ(take_log(), (Words{"pread 512 0", "flush"}));
}

TEST_F(Requests, RangesAreChecked) {
  add_all();
  begin();
  ExtentList list(0, 0);
  for (const std::uint64_t offset :
       {size - 511, size, size + 1, ~std::uint64_t{0}, ~std::uint64_t{0} - 511}) {
    EXPECT_EQ(connection->read(block, offset).error, EINVAL);
    EXPECT_EQ(connection->write(block, offset).error, ENOSPC);
    EXPECT_EQ(connection->trim(512, offset).error, EINVAL);
    EXPECT_EQ(connection->zero(512, offset).error, ENOSPC);
    EXPECT_EQ(connection->cache(512, offset).error, EINVAL);
    EXPECT_EQ(connection->extents(512, offset, 0, list).error, EINVAL);
  }
  EXPECT_EQ(connection->read({}, 0).error, EINVAL);
  EXPECT_EQ(connection->write({}, 0).error, ENOSPC);
  EXPECT_EQ(connection->trim(0, 0).error, EINVAL);
  EXPECT_EQ(connection->zero(0, 0).error, ENOSPC);
  EXPECT_EQ(take_log(), Words{});
  EXPECT_TRUE(connection->read(block, size - 512).ok());
  EXPECT_EQ(incidents(), Incidents{});
}

TEST_F(Requests, FlagsAreChecked) {
  add_all();
  begin();
  namespace f = command_flag;
  ExtentList list(0, 0);
  EXPECT_EQ(connection->read(block, 0, 1U << 5).error, EINVAL);
  EXPECT_EQ(connection->read(block, 0, f::no_hole).error, EINVAL);
  EXPECT_EQ(connection->write(block, 0, f::fast_zero).error, EINVAL);
  EXPECT_EQ(connection->write(block, 0, f::df).error, EINVAL);
  EXPECT_EQ(connection->trim(512, 0, f::req_one).error, EINVAL);
  EXPECT_EQ(take_log(), Words{});
  // FUA, once advertised, goes with anything.
  EXPECT_TRUE(connection->read(block, 0, f::df | f::fua).ok());
  EXPECT_TRUE(connection->flush(f::fua).ok());
  EXPECT_TRUE(connection->cache(512, 0, f::fua).ok());
  EXPECT_EQ(take_log(), (Words{"pread 512 0", "flush", "pread 512 0"}));
}

TEST_F(Requests, WhatIsNotAdvertisedIsRefused) {
  add(Callback::pwrite);
  add(Callback::can_fast_zero);
  script.returns[Callback::can_fast_zero] = 0;
  begin();
  EXPECT_EQ(connection->flush().error, EINVAL);
  EXPECT_EQ(connection->trim(512, 0).error, EINVAL);
  EXPECT_EQ(connection->cache(512, 0).error, EINVAL);
  EXPECT_EQ(connection->write(block, 0, command_flag::fua).error, EINVAL);
  EXPECT_EQ(connection->read(block, 0, command_flag::fua).error, EINVAL);
  EXPECT_EQ(connection->zero(512, 0, command_flag::fast_zero).error, EINVAL);
  EXPECT_EQ(take_log(), Words{});
}

TEST_F(Requests, OnlyReadsAndWritesAreLimited) {
  add_all();
  script.size = std::int64_t{8} << 30;
  add(Callback::extents);
  script.extents = [](nbdkit_extents* list, std::uint32_t count, std::uint64_t offset) {
    nbdkit_add_extent(list, offset, count, 0);
  };
  script.returns[Callback::can_cache] = cache_native;
  begin();
  const std::vector<std::byte> large(max_request_size + 1);
  std::vector<std::byte> target(max_request_size + 1);
  EXPECT_EQ(connection->read(target, 0).error, ENOMEM);
  EXPECT_EQ(connection->write(large, 0).error, ENOMEM);
  EXPECT_TRUE(connection->read(std::span(target).first(max_request_size), 0).ok());
  EXPECT_TRUE(connection->write(std::span(large).first(max_request_size), 0).ok());
  ExtentList list(0, 0);
  constexpr std::uint32_t most = 0xffffffff;
  EXPECT_TRUE(connection->trim(most, 0).ok());
  EXPECT_TRUE(connection->zero(most, 0).ok());
  EXPECT_TRUE(connection->cache(most, 0).ok());
  EXPECT_TRUE(connection->extents(most, 0, 0, list).ok());
}

TEST_F(Requests, RefusedRequestsDoNotReachThePlugin) {
  begin();
  EXPECT_FALSE(connection->read(block, size).reached_plugin);
  EXPECT_TRUE(connection->read(block, 0).reached_plugin);
  ExtentList list(0, 0);
  EXPECT_FALSE(connection->extents(512, 0, 0, list).reached_plugin);  // no .extents
}

// --- FUA -----------------------------------------------------------------------------

TEST_F(Requests, FuaIsFlushUnlessNative) {
  for (const FuaMode mode : {fua_none, fua_emulate, fua_native}) {
    add_all();
    script.returns[Callback::can_fua] = mode;
    begin();
    const Reply write = connection->write(block, 0, command_flag::fua);
    const Reply trim = connection->trim(512, 512, command_flag::fua);
    const Reply zero = connection->zero(512, 1024, command_flag::fua);
    if (mode == fua_none) {
      EXPECT_EQ(write.error, EINVAL);
      EXPECT_EQ(trim.error, EINVAL);
      EXPECT_EQ(zero.error, EINVAL);
    } else {
      EXPECT_TRUE(write.ok() && trim.ok() && zero.ok());
    }
    EXPECT_EQ(take_log(),
              mode == fua_none ? Words{}
              : mode == fua_emulate
                  ? (Words{"pwrite 512 0", "flush", "trim 512 512", "flush",
                           "zero 512 1024 may_trim", "flush"})
                  : (Words{"pwrite 512 0 fua", "trim 512 512 fua", "zero 512 1024 may_trim fua"}));
    running.reset();
  }
}

TEST_F(Requests, NoFlushAfterAFailedWrite) {
  add_all();
  script.returns[Callback::can_fua] = fua_emulate;
  script.returns[Callback::pwrite] = -1;
  script.sets_error[Callback::pwrite] = ENOSPC;
  begin();
  EXPECT_EQ(connection->write(block, 0, command_flag::fua).error, ENOSPC);
  EXPECT_EQ(take_log(), Words{"pwrite 512 0"});
}

TEST_F(Requests, FuaWithoutFlushFailsAfterTheWrite) {
  add(Callback::pwrite);
  add(Callback::can_fua);
  begin();  // says 1: emulate
  EXPECT_EQ(connection->write(block, 0, command_flag::fua).error, EINVAL);
  EXPECT_EQ(take_log(), Words{"pwrite 512 0"});
  EXPECT_EQ(incidents(), Incidents{IncidentKind::fua_without_flush});
}

// --- zero ----------------------------------------------------------------------------

TEST_F(Requests, ZeroFlags) {
  add_all();
  begin();
  EXPECT_TRUE(connection->zero(512, 0, command_flag::no_hole).ok());
  EXPECT_TRUE(connection->zero(512, 0, command_flag::fast_zero).ok());
  EXPECT_EQ(take_log(), (Words{"zero 512 0", "zero 512 0 may_trim fast_zero"}));
}

TEST_F(Requests, ZeroFallsBackToWriting) {
  script.size = std::int64_t{1} << 30;
  bool all_zero = true;
  script.take = [&](const std::byte* data, std::uint32_t count) {
    for (const std::uint32_t at : {0U, count / 2, count - 1}) {
      all_zero = all_zero && data[at] == std::byte{0};
    }
  };
  const Words pieces{"pwrite 67108864 4096", "pwrite 67108864 67112960",
                     "pwrite 23068672 134221824", "flush"};
  add(Callback::pwrite);
  add(Callback::flush);
  begin();
  EXPECT_TRUE(connection->zero(150 * mebi, 4096, command_flag::fua).ok());
  EXPECT_EQ(take_log(), pieces);
  EXPECT_EQ(connection->zero(512, 0, command_flag::fast_zero).error, ENOTSUP);
  EXPECT_EQ(take_log(), Words{});

  for (const BufferMode mode : {BufferMode::guarded, BufferMode::guarded_odd}) {
    connection->set_buffer_mode(mode);
    EXPECT_TRUE(connection->zero(150 * mebi, 4096, command_flag::fua).ok());
    EXPECT_TRUE(connection->zero(511, 1).ok());
    take_log();
  }
  EXPECT_TRUE(all_zero);
}

TEST_F(Requests, DecliningToZero) {
  add(Callback::pwrite);
  add(Callback::zero);
  add(Callback::flush);
  add(Callback::can_fast_zero);
  add(Callback::can_fua);
  script.returns[Callback::zero] = -1;
  script.silent.insert(Callback::zero);
  for (const int error : {ENOTSUP, EOPNOTSUPP}) {
    script.returns[Callback::can_fua] = fua_native;
    script.sets_error[Callback::zero] = error;
    begin();
    EXPECT_TRUE(connection->zero(512, 0, command_flag::fua).ok());
    EXPECT_EQ(take_log(), (Words{"zero 512 0 may_trim fua", "pwrite 512 0 fua"}));
    const Reply fast = connection->zero(512, 0, command_flag::fast_zero);
    EXPECT_EQ(fast.error, EOPNOTSUPP);
    EXPECT_TRUE(fast.reached_plugin);
    EXPECT_EQ(take_log(), Words{"zero 512 0 may_trim fast_zero"});
    EXPECT_EQ(incidents(), Incidents{});  // no message is needed
    running.reset();
  }
  // The error that declined does not outlive the fallback.
  script.returns[Callback::pwrite] = -1;
  begin();
  EXPECT_EQ(connection->zero(512, 0).error, EIO);
  EXPECT_EQ(incidents(), Incidents{IncidentKind::no_errno});
}

TEST_F(Requests, OtherZeroErrorsAreFinal) {
  add(Callback::pwrite);
  add(Callback::zero);
  script.returns[Callback::zero] = -1;
  script.sets_error[Callback::zero] = ENOSPC;
  begin();
  EXPECT_EQ(connection->zero(512, 0).error, ENOSPC);
  EXPECT_EQ(take_log(), Words{"zero 512 0 may_trim"});
}

TEST_F(Requests, CanZeroFalseMeansPwrite) {
  add(Callback::pwrite);
  add(Callback::zero);
  add(Callback::can_zero);
  script.returns[Callback::can_zero] = 0;
  begin();
  EXPECT_TRUE(connection->zero(512, 0).ok());
  EXPECT_EQ(take_log(), Words{"pwrite 512 0"});
}

// --- version 1 -------------------------------------------------------------------------

Words v1_log;

TEST_F(Requests, VersionOne) {
  v1_log.clear();
  table._api_version = 1;
  table.pread = nullptr;
  table._pread_v1 = [](void*, void*, std::uint32_t, std::uint64_t) {
    v1_log.emplace_back("pread");
    return 0;
  };
  table._pwrite_v1 = [](void*, const void*, std::uint32_t, std::uint64_t) {
    v1_log.emplace_back("pwrite");
    return 0;
  };
  table._flush_v1 = [](void*) {
    v1_log.emplace_back("flush");
    return 0;
  };
  table._trim_v1 = [](void*, std::uint32_t, std::uint64_t) {
    v1_log.emplace_back("trim");
    return 0;
  };
  table._zero_v1 = [](void*, std::uint32_t, std::uint64_t, int may_trim) {
    v1_log.push_back("zero " + std::to_string(may_trim));
    return 0;
  };
  begin();
  EXPECT_TRUE(connection->read(block, 0).ok());
  EXPECT_TRUE(connection->write(block, 0, command_flag::fua).ok());
  EXPECT_TRUE(connection->trim(512, 0).ok());
  EXPECT_TRUE(connection->zero(512, 0).ok());
  EXPECT_TRUE(connection->zero(512, 0, command_flag::no_hole).ok());
  EXPECT_EQ(v1_log, (Words{"pread", "pwrite", "flush", "trim", "zero 1", "zero 0"}));
  EXPECT_EQ(connection->zero(512, 0, command_flag::fast_zero).error, EOPNOTSUPP);
  EXPECT_EQ(v1_log.size(), 6U);
}

TEST_F(Requests, VersionTwoSlotsWin) {
  table._pread_v1 = [](void*, void*, std::uint32_t, std::uint64_t) { return -1; };
  begin();
  EXPECT_TRUE(connection->read(block, 0).ok());
}

// --- cache -----------------------------------------------------------------------------

TEST_F(Requests, CacheByReading) {
  script.size = std::int64_t{1} << 30;
  add(Callback::can_cache);
  begin();  // says 1: emulate
  EXPECT_TRUE(connection->cache(100 * mebi, 512).ok());
  EXPECT_EQ(take_log(), (Words{"pread 67108864 512", "pread 37748736 67109376"}));
  script.returns[Callback::pread] = -1;
  script.sets_error[Callback::pread] = ENOMEM;
  EXPECT_EQ(connection->cache(100 * mebi, 512).error, ENOMEM);
  EXPECT_EQ(take_log().size(), 1U);
}

TEST_F(Requests, CacheNative) {
  add(Callback::cache);
  begin();
  EXPECT_TRUE(connection->cache(512, 512).ok());
  EXPECT_EQ(take_log(), Words{"cache 512 512"});
}

TEST_F(Requests, CachePromisedButAbsentSucceeds) {
  add(Callback::can_cache);
  script.returns[Callback::can_cache] = cache_native;
  begin();
  EXPECT_TRUE(connection->cache(512, 512).ok());
  EXPECT_EQ(take_log(), Words{});
}

// --- extents ---------------------------------------------------------------------------

TEST_F(Requests, WithoutExtentsAllIsAllocated) {
  begin();
  ExtentList list(0, 0);
  EXPECT_TRUE(connection->extents(4096, 512, 0, list).ok());
  EXPECT_EQ(list.extents(), (std::vector<Extent>{{512, 4096, 0}}));
}

TEST_F(Requests, ExtentsReachTheEndOfTheExport) {
  add(Callback::extents);
  script.extents = [](nbdkit_extents* list, std::uint32_t, std::uint64_t) {
    EXPECT_EQ(nbdkit_add_extent(list, 0, 1024, 0), 0);
    EXPECT_EQ(nbdkit_add_extent(list, 1024, 2 * size, 3), 0);
  };
  begin();
  ExtentList list(0, 0);
  EXPECT_TRUE(connection->extents(4096, 512, command_flag::req_one, list).ok());
  EXPECT_EQ(list.extents(), (std::vector<Extent>{{512, 512, 0}, {1024, size - 1024, 3}}));
  EXPECT_EQ(take_log(), Words{"extents 4096 512 req_one"});
  EXPECT_EQ(incidents(), Incidents{});
}

TEST_F(Requests, ExtentIncidents) {
  add(Callback::extents);
  begin();
  ExtentList list(0, 0);
  EXPECT_EQ(connection->extents(512, 0, 0, list).error, EINVAL);
  EXPECT_EQ(incidents(), Incidents{IncidentKind::extent_none});
  running->recorder.clear();

  script.extents = [](nbdkit_extents* extents, std::uint32_t, std::uint64_t offset) {
    EXPECT_EQ(nbdkit_add_extent(extents, offset, 512, 0), 0);
    EXPECT_EQ(nbdkit_add_extent(extents, offset + 1024, 512, 0), -1);
  };
  EXPECT_TRUE(connection->extents(512, 0, 0, list).ok());  // what was kept is served
  EXPECT_EQ(list.extents(), (std::vector<Extent>{{0, 512, 0}}));
  EXPECT_EQ(incidents(), Incidents{IncidentKind::extent_not_contiguous});
  running->recorder.clear();

  script.returns[Callback::extents] = -1;
  EXPECT_EQ(connection->extents(512, 0, 0, list).error, EIO);
  EXPECT_EQ(incidents(), (Incidents{IncidentKind::extent_not_contiguous, IncidentKind::no_errno}));
}

// --- missing callbacks that were promised ----------------------------------------------

TEST_F(Requests, PromisedButMissing) {
  for (const Callback callback :
       {Callback::can_write, Callback::can_flush, Callback::can_trim, Callback::can_extents}) {
    add(callback);
  }
  begin();
  ExtentList list(0, 0);
  EXPECT_EQ(connection->write(block, 0).error, EROFS);
  EXPECT_EQ(connection->trim(512, 0).error, EINVAL);
  EXPECT_EQ(connection->flush().error, EINVAL);
  EXPECT_EQ(connection->extents(512, 0, 0, list).error, EINVAL);
  EXPECT_EQ(take_log(), Words{});
}

}  // namespace
}  // namespace nbdcheck::test
