#include <gtest/gtest.h>

#include <algorithm>

#include "server/test_plugin.hpp"

namespace nbdcheck::test {
namespace {

class Handshake : public ::testing::Test {
 protected:
  void SetUp() override { reset(); }

  // Opens and closes, and tells what it learnt.
  static tl::expected<ExportInfo, Failure> learn(Running& running, const std::string& name = "x") {
    auto connection = running.server->connect();
    if (!connection) return tl::unexpected(connection.error());
    return (*connection)->open(name);
  }
  static ExportInfo learn() {
    Running running;
    return learn(running).value();
  }
};

const Words negotiation{"get_size",          "can_write", "can_zero",    "can_fast_zero",
                        "can_trim",          "can_fua",   "can_flush",   "is_rotational",
                        "can_multi_conn",    "can_cache", "can_extents", "block_size",
                        "export_description"};

Words around(const Words& before, const Words& after) {
  Words all = before;
  all.insert(all.end(), negotiation.begin(), negotiation.end());
  all.insert(all.end(), after.begin(), after.end());
  return all;
}

TEST_F(Handshake, AsksInNbdkitsOrderAndOnce) {
  add_all();
  Running running;
  take_log();
  Connection& connection = running.open("");
  EXPECT_EQ(take_log(), around({"preconnect", "default_export", "open"}, {}));
  std::byte block[512];
  EXPECT_TRUE(connection.read(block, 0).ok());
  connection.close();
  EXPECT_EQ(take_log(), (Words{"pread 512 0", "close"}));
}

TEST_F(Handshake, MoreHandlesThanAreWantedAreRefused) {
  ServerOptions options;
  options.most_handles = 1;
  add_all();
  Running running(options);
  Connection& first = running.open("x");
  auto second = running.server->connect().value();
  take_log();
  const auto refused = second->open("x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where, Callback::open);
  EXPECT_EQ(refused.error().error, EBUSY);
  EXPECT_EQ(take_log(), Words{});
  first.close();
  EXPECT_TRUE(second->info("x"));
  EXPECT_TRUE(second->open("x"));
}

TEST_F(Handshake, InfoOpensAndCloses) {
  add_all();
  Running running;
  auto connection = running.server->connect().value();
  take_log();
  EXPECT_TRUE(connection->info("x"));
  EXPECT_EQ(take_log(), around({"open"}, {"close"}));
  EXPECT_FALSE(connection->is_open());
  EXPECT_TRUE(connection->open("x"));
  connection->close();
  EXPECT_EQ(take_log(), around({"open"}, {"close"}));
}

TEST_F(Handshake, SilentClientCausesPreconnectOnly) {
  add_all();
  Running running;
  take_log();
  EXPECT_EQ(running.server->connect().value()->number(), 1);
  EXPECT_EQ(running.server->connect().value()->number(), 2);
  EXPECT_EQ(take_log(), (Words{"preconnect", "preconnect"}));
}

TEST_F(Handshake, ReadOnlyServerDoesNotAskAboutWriting) {
  add_all();
  Running running({.readonly = true});
  take_log();
  const ExportInfo info = learn(running).value();
  EXPECT_EQ(take_log(), (Words{"preconnect", "open readonly", "get_size", "can_flush",
                               "is_rotational", "can_multi_conn", "can_cache", "can_extents",
                               "block_size", "export_description", "close"}));
  EXPECT_FALSE(info.can_write || info.can_trim || info.can_fast_zero);
  EXPECT_EQ(info.zero, zero_none);
  EXPECT_EQ(info.fua, fua_none);
  EXPECT_TRUE(info.can_flush && info.can_extents);
}

TEST_F(Handshake, PluginThatCannotWriteIsNotAskedFurther) {
  add_all();
  script.returns[Callback::can_write] = 0;
  Running running;
  take_log();
  EXPECT_EQ(learn(running).value().zero, zero_none);
  const Words log = take_log();
  EXPECT_EQ(std::ranges::count(log, "can_write"), 1);
  for (const char* unasked : {"can_zero", "can_fast_zero", "can_trim", "can_fua"}) {
    EXPECT_EQ(std::ranges::count(log, unasked), 0) << unasked;
  }
}

TEST_F(Handshake, DefaultsWithoutAnyCallback) {
  const ExportInfo info = learn();
  EXPECT_FALSE(info.can_write || info.can_flush || info.rotational || info.can_trim ||
               info.can_fast_zero || info.multi_conn || info.can_extents);
  EXPECT_EQ(info.cache, cache_none);
  EXPECT_FALSE(info.block_size);
  EXPECT_FALSE(info.description);
  EXPECT_EQ(info.size, 1U << 20);
}

TEST_F(Handshake, DefaultsFollowTheDataCallbacks) {
  add(Callback::pwrite);
  ExportInfo info = learn();
  EXPECT_TRUE(info.can_write);
  EXPECT_EQ(info.zero, zero_emulate);
  EXPECT_TRUE(info.can_fast_zero);  // fails fast
  EXPECT_EQ(info.fua, fua_none);

  add(Callback::zero);
  add(Callback::flush);
  add(Callback::trim);
  add(Callback::extents);
  add(Callback::cache);
  info = learn();
  EXPECT_EQ(info.zero, zero_native);
  EXPECT_FALSE(info.can_fast_zero);
  EXPECT_EQ(info.fua, fua_emulate);
  EXPECT_TRUE(info.can_flush && info.can_trim && info.can_extents);
  EXPECT_EQ(info.cache, cache_native);

  // FUA is offered with .flush even if .can_flush says no; and, against the
  // manual, .can_zero saying no brings no fast zeroes.
  add(Callback::can_flush);
  add(Callback::can_zero);
  script.returns = {{Callback::can_flush, 0}, {Callback::can_zero, 0}};
  info = learn();
  EXPECT_FALSE(info.can_flush);
  EXPECT_EQ(info.fua, fua_emulate);
  EXPECT_EQ(info.zero, zero_emulate);
  EXPECT_FALSE(info.can_fast_zero);
}

TEST_F(Handshake, VersionOneCallbacksCount) {
  table._api_version = 1;
  table._pread_v1 = [](void*, void*, std::uint32_t, std::uint64_t) { return 0; };
  table._pwrite_v1 = [](void*, const void*, std::uint32_t, std::uint64_t) { return 0; };
  table._flush_v1 = [](void*) { return 0; };
  table._trim_v1 = [](void*, std::uint32_t, std::uint64_t) { return 0; };
  table._zero_v1 = [](void*, std::uint32_t, std::uint64_t, int) { return 0; };
  add(Callback::can_fua);
  script.returns[Callback::can_fua] = fua_native;
  const ExportInfo info = learn();
  EXPECT_TRUE(info.can_write && info.can_flush && info.can_trim && info.can_fast_zero);
  EXPECT_EQ(info.zero, zero_native);
  EXPECT_EQ(info.fua, fua_emulate);  // no flag to pass it by
}

TEST_F(Handshake, OddAnswersAreTakenAsNbdkitTakesThem) {
  add_all();
  struct Case {
    Callback callback;
    int value;
    IncidentKind incident;
  };
  for (const Case& c : {Case{Callback::can_write, -2, IncidentKind::bool_value},
                        Case{Callback::can_flush, 7, IncidentKind::bool_value},
                        Case{Callback::can_extents, 2, IncidentKind::bool_value},
                        Case{Callback::can_fua, 3, IncidentKind::fua_value},
                        Case{Callback::can_fua, -2, IncidentKind::fua_value},
                        Case{Callback::can_cache, 3, IncidentKind::cache_value},
                        Case{Callback::can_cache, -5, IncidentKind::cache_value}}) {
    script.returns = {{c.callback, c.value}};
    Running running;
    const auto info = learn(running);
    ASSERT_TRUE(info);
    EXPECT_EQ(running.recorder.incidents(), Incidents{c.incident}) << name(c.callback);
    EXPECT_TRUE(info->can_write && info->can_flush && info->can_extents);
    if (c.callback == Callback::can_fua) {
      EXPECT_EQ(info->fua, c.value > 0 ? fua_emulate : fua_none);
    }
    if (c.callback == Callback::can_cache) {
      EXPECT_EQ(info->cache, c.value > 0 ? cache_native : cache_none);
    }
  }
}

TEST_F(Handshake, AnnouncedButMissing) {
  for (const Callback callback : {Callback::can_flush, Callback::can_trim, Callback::can_zero,
                                  Callback::can_extents, Callback::can_cache}) {
    reset();
    add(Callback::pwrite);
    add(callback);
    script.returns[callback] = callback == Callback::can_cache ? 2 : 1;
    Running running;
    EXPECT_TRUE(learn(running));
    EXPECT_EQ(running.recorder.incidents(), Incidents{IncidentKind::missing_callback})
        << name(callback);
  }
}

TEST_F(Handshake, FailuresCloseTheHandleAndMayBeTriedAgain) {
  for (const std::string& asked : negotiation) {
    reset();
    add_all();
    if (asked == "export_description" || asked == "block_size") continue;
    for (int i = 0; i < static_cast<int>(Callback::count_); ++i) {
      if (name(static_cast<Callback>(i)) == asked) script.returns[static_cast<Callback>(i)] = -1;
    }
    Running running;
    auto connection = running.server->connect().value();
    take_log();
    const auto failed = connection->open("x");
    ASSERT_FALSE(failed) << asked;
    EXPECT_EQ(name(failed.error().where), asked);
    EXPECT_TRUE(failed.error().plugin_said_why);
    EXPECT_EQ(take_log().back(), "close");
    EXPECT_FALSE(connection->is_open());
    script.returns.clear();
    EXPECT_TRUE(connection->open("x")) << asked;
    EXPECT_EQ(running.recorder.incidents(), Incidents{});
  }
}

TEST_F(Handshake, RefusedOpenIsNotClosed) {
  add_all();
  script.returns[Callback::open] = -1;
  Running running;
  take_log();
  EXPECT_FALSE(learn(running));
  EXPECT_EQ(take_log(), (Words{"preconnect", "open"}));
}

TEST_F(Handshake, PreconnectMayRefuse) {
  add(Callback::preconnect);
  script.returns[Callback::preconnect] = -1;
  Running running;
  const auto connection = running.server->connect();
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().where, Callback::preconnect);
}

TEST_F(Handshake, NegativeSizes) {
  script.size = -2;
  Running running;
  EXPECT_FALSE(learn(running));
  EXPECT_EQ(running.recorder.incidents(), Incidents{IncidentKind::size_value});
}

TEST_F(Handshake, MultiConnNeedsSeveralConnections) {
  add(Callback::can_multi_conn);
  for (const ThreadModel model : {ThreadModel::serialize_connections, ThreadModel::parallel}) {
    table._thread_model = static_cast<int>(model);
    const ExportInfo info = learn();
    EXPECT_TRUE(info.multi_conn);
    EXPECT_EQ(info.advertises_multi_conn, model == ThreadModel::parallel);
  }
}

// --- block size ------------------------------------------------------------------

TEST_F(Handshake, BlockSizes) {
  add(Callback::block_size);
  add(Callback::close);
  struct Case {
    BlockSize size;
    bool good;
  };
  constexpr std::uint32_t unlimited = 0xffffffff;
  for (const Case& c : {Case{{1, 512, unlimited}, true}, Case{{65536, 65536, 65536}, true},
                        Case{{512, 32U << 20, 64U << 20}, true}, Case{{1, 512, 513}, true},
                        Case{{0, 512, 4096}, false}, Case{{3, 512, 4096}, false},
                        Case{{131072, 131072, unlimited}, false}, Case{{1, 256, 4096}, false},
                        Case{{1, 768, 4096}, false}, Case{{1, 64U << 20, unlimited}, false},
                        Case{{4096, 512, 8192}, false}, Case{{512, 4096, 2048}, false},
                        Case{{512, 4096, 5000}, false}}) {
    script.block_size = c.size;
    Running running;
    auto connection = running.server->connect().value();
    take_log();
    const auto info = connection->open("x");
    EXPECT_EQ(info.has_value(), c.good) << c.size.minimum << ' ' << c.size.preferred;
    if (c.good) {
      EXPECT_EQ(info->block_size->maximum, c.size.maximum);
      continue;
    }
    // Unlike any other error, this one ends the connection.
    EXPECT_EQ(running.recorder.incidents(), Incidents{IncidentKind::block_size_invalid});
    EXPECT_EQ(take_log().back(), "close");
    EXPECT_FALSE(connection->open("x"));
    EXPECT_EQ(take_log(), Words{});
  }
}

TEST_F(Handshake, BlockSizeMayBeUnknown) {
  add(Callback::block_size);
  script.block_size = {0, 0, 0};
  Running running;
  EXPECT_FALSE(learn(running).value().block_size);
  EXPECT_EQ(running.recorder.incidents(), Incidents{});
}

TEST_F(Handshake, BlockSizeMustSetAllItsOutputs) {
  table.block_size = [](void*, std::uint32_t* minimum, std::uint32_t* preferred, std::uint32_t*) {
    *minimum = 512;
    *preferred = 4096;
    return 0;
  };
  Running running;
  EXPECT_FALSE(learn(running).value().block_size);
  EXPECT_EQ(running.recorder.incidents(), Incidents{IncidentKind::block_size_unset});
}

// --- exports -----------------------------------------------------------------------

std::vector<Export> list(Running& running) {
  return running.server->connect().value()->list_exports().value().exports();
}

TEST_F(Handshake, DefaultExportNamesTheEmptyName) {
  add(Callback::default_export);
  script.text = "main";
  Running running;
  EXPECT_EQ(learn(running, "").value().name, "main");
  EXPECT_EQ(take_log().front(), "default_export");
  EXPECT_EQ(learn(running, "other").value().name, "other");
  EXPECT_EQ(take_log().front(), "open");
}

TEST_F(Handshake, DefaultExportIsAskedOncePerConnection) {
  add(Callback::default_export);
  Running running;
  auto connection = running.server->connect().value();
  EXPECT_TRUE(connection->list_exports());
  EXPECT_TRUE(connection->info(""));
  EXPECT_TRUE(connection->open(""));
  EXPECT_EQ(std::ranges::count(take_log(), "default_export"), 1);
}

TEST_F(Handshake, NoDefaultExport) {
  add(Callback::default_export);
  for (const bool too_long : {false, true}) {
    script.returns[Callback::default_export] = too_long ? 0 : -1;
    script.text = std::string(4097, 'x');
    Running running;
    EXPECT_EQ(list(running), std::vector<Export>{});
    EXPECT_FALSE(learn(running, ""));
    EXPECT_TRUE(learn(running, "x"));
    EXPECT_EQ(running.recorder.incidents(),
              Incidents(too_long ? 2 : 0, IncidentKind::default_export_invalid));
  }
}

TEST_F(Handshake, ListsExports) {
  {
    Running running;
    EXPECT_EQ(list(running), (std::vector<Export>{{"", ""}}));
  }
  add(Callback::default_export);
  {
    Running running;
    EXPECT_EQ(list(running), (std::vector<Export>{{"text", ""}}));
  }
  add(Callback::list_exports);
  script.exports = [](nbdkit_exports* exports) {
    nbdkit_use_default_export(exports);
    nbdkit_add_export(exports, "a", "the first");
    nbdkit_add_export(exports, "a", nullptr);
  };
  {
    Running running;
    EXPECT_EQ(list(running), (std::vector<Export>{{"a", "the first"}, {"a", ""}, {"text", ""}}));
  }
  script.exports = nullptr;
  {
    Running running;
    EXPECT_EQ(list(running), std::vector<Export>{});
  }
  script.returns[Callback::list_exports] = -1;
  Running running;
  auto connection = running.server->connect().value();
  EXPECT_EQ(connection->list_exports().error().where, Callback::list_exports);
  EXPECT_EQ(connection->list_exports().error().error, EINVAL);  // once only
  EXPECT_TRUE(connection->open("x"));
}

TEST_F(Handshake, Descriptions) {
  add(Callback::export_description);
  EXPECT_EQ(learn().description, "text");
  script.text = std::string(4097, 'x');
  {
    Running running;
    EXPECT_FALSE(learn(running).value().description);
    EXPECT_EQ(running.recorder.incidents(), Incidents{IncidentKind::description_invalid});
  }
  script.returns[Callback::export_description] = -1;
  Running running;
  EXPECT_FALSE(learn(running).value().description);
  EXPECT_EQ(running.recorder.incidents(), Incidents{});
}

}  // namespace
}  // namespace nbdcheck::test
