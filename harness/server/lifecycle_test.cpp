#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "server/test_plugin.hpp"

namespace nbdcheck::test {
namespace {

class Lifecycle : public ::testing::Test {
 protected:
  void SetUp() override { reset(); }

  std::unique_ptr<Server> adopt(ServerOptions options = {}) {
    auto loaded = Server::adopt(plugin_init, std::move(options), recorder);
    EXPECT_TRUE(loaded) << loaded.error().message;
    return std::move(*loaded);
  }
  Recorder recorder;
};

TEST_F(Lifecycle, RunsInNbdkitsOrder) {
  add_all();
  {
    Running running;
    EXPECT_EQ(take_log(),
              (Words{"load", "config_complete", "thread_model", "get_ready", "after_fork"}));
    running.server->stop();
  }
  EXPECT_EQ(take_log(), (Words{"cleanup", "unload"}));
}

TEST_F(Lifecycle, TracesEachCall) {
  add(Callback::get_ready);
  {
    Running running({.trace = true});
    EXPECT_EQ(running.recorder.trace(),
              (Words{">plugin_init", "<plugin_init 1", ">get_ready", "<get_ready 0"}));
  }
  {
    Running running;
    EXPECT_EQ(std::ranges::count(running.recorder.trace(), ">get_ready"), 0);
  }
}

TEST_F(Lifecycle, LoadAndUnloadAlone) {
  add_all();
  adopt().reset();  // as `nbdkit --help PLUGIN`
  EXPECT_EQ(take_log(), (Words{"load", "unload"}));
}

TEST_F(Lifecycle, AFailureIsTheEnd) {
  struct Case {
    Callback callback;
    Words before;
  };
  const Case cases[] = {
      {Callback::config_complete, {"load", "config_complete"}},
      {Callback::thread_model, {"load", "config_complete", "thread_model"}},
      {Callback::get_ready, {"load", "config_complete", "thread_model", "get_ready"}},
      {Callback::after_fork,
       {"load", "config_complete", "thread_model", "get_ready", "after_fork"}},
  };
  for (const Case& c : cases) {
    reset();
    add_all();
    script.returns[c.callback] = -1;
    recorder.clear();
    auto server = adopt();
    auto result = server->configure({});
    if (result) result = server->start();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().where, c.callback);
    EXPECT_TRUE(result.error().plugin_said_why);
    EXPECT_NE(result.error().message.find("told to fail"), std::string::npos);
    EXPECT_FALSE(server->connect());
    server.reset();
    EXPECT_EQ(take_log(), c.before);
    EXPECT_EQ(recorder.incidents(), Incidents{});
  }
}

TEST_F(Lifecycle, SilentFailureIsAnIncident) {
  add(Callback::get_ready);
  script.returns[Callback::get_ready] = -1;
  script.silent.insert(Callback::get_ready);
  auto server = adopt();
  const auto result = server->get_ready();
  ASSERT_FALSE(result);
  EXPECT_FALSE(result.error().plugin_said_why);
  EXPECT_EQ(recorder.incidents(), Incidents{IncidentKind::no_error_message});
}

TEST_F(Lifecycle, MessagesOfThePluginsOwnThreadsCount) {
  add(Callback::get_ready);
  script.returns[Callback::get_ready] = -1;
  script.silent.insert(Callback::get_ready);
  script.during = [](Callback) { std::thread([] { nbdkit_error("it is %s", "over"); }).join(); };
  auto server = adopt();
  const auto result = server->get_ready();
  ASSERT_FALSE(result);
  EXPECT_TRUE(result.error().plugin_said_why);
  EXPECT_EQ(recorder.incidents(), Incidents{});
  EXPECT_EQ(recorder.errors(), Words{"none: it is over"});
}

TEST_F(Lifecycle, OnlyMinusOneIsFailure) {
  add_all();
  for (const Callback callback : {Callback::config_complete, Callback::get_ready,
                                  Callback::after_fork, Callback::preconnect}) {
    script.returns = {{callback, 5}};
    Running running;
    EXPECT_TRUE(running.server->connect());
    EXPECT_EQ(running.recorder.incidents(), Incidents{IncidentKind::return_value});
  }
}

TEST_F(Lifecycle, ThreadModelIsTheSmallerOfTwo) {
  struct Case {
    int declared;
    int returned;
    ThreadModel model;
    bool incident;
  };
  const Case cases[] = {
      {3, 1, ThreadModel::serialize_all_requests, false},
      {1, 3, ThreadModel::serialize_all_requests, false},
      {2, 0, ThreadModel::serialize_connections, false},
      {2, 7, ThreadModel::serialize_requests, true},
      {9, 3, ThreadModel::parallel, true},
      {3, -2, ThreadModel::serialize_connections, true},
  };
  for (const Case& c : cases) {
    add(Callback::thread_model);
    table._thread_model = c.declared;
    script.returns[Callback::thread_model] = c.returned;
    recorder.clear();
    auto server = adopt();
    EXPECT_EQ(server->resolve_thread_model(), c.model) << c.declared << ' ' << c.returned;
    EXPECT_EQ(server->resolve_thread_model(), c.model);
    EXPECT_EQ(server->thread_model(), c.model);
    EXPECT_EQ(recorder.incidents(),
              c.incident ? Incidents{IncidentKind::thread_model_value} : Incidents{});
    server.reset();
    EXPECT_EQ(take_log(), Words{"thread_model"});
  }
}

TEST_F(Lifecycle, OneServerAtATime) {
  auto first = adopt();
  EXPECT_FALSE(Server::adopt(plugin_init, {}, recorder));
  first.reset();
  EXPECT_TRUE(Server::adopt(plugin_init, {}, recorder));
}

TEST_F(Lifecycle, StdioIsSafeUntilServing) {
  add_all();
  std::map<Callback, int> safe;
  script.during = [&](Callback callback) { safe[callback] = nbdkit_stdio_safe(); };
  { Running running; }
  EXPECT_EQ(safe[Callback::load], 1);
  EXPECT_EQ(safe[Callback::get_ready], 1);
  EXPECT_EQ(safe[Callback::after_fork], 0);
  { Running running({.single = true}); }
  EXPECT_EQ(safe[Callback::load], 0);
}

TEST_F(Lifecycle, SmallStructsLoseTheirLaterCallbacks) {
  add_all();
  table._struct_size = 376;  // before .block_size
  {
    Running running;
    EXPECT_FALSE(running.open().export_info().block_size);
  }
  table._struct_size = sizeof table;
  {
    Running running({.host_struct_size = 336});  // nbdkit 1.20: up to .get_ready
    take_log();
    running.open();
    running.connections.clear();
    const Words log = take_log();
    EXPECT_EQ(std::ranges::count(log, "default_export"), 0);
    EXPECT_EQ(std::ranges::count(log, "preconnect"), 1);
  }
  EXPECT_EQ(take_log(), Words{"unload"});
}

// --- parameters ----------------------------------------------------------------

TEST_F(Lifecycle, ParsesParameters) {
  for (const char* bare : {"", "x", "9a=1", "_a=1", "=x", "a b=1", "\xc3\xa9=1", "/dev/null"}) {
    const Parameter parameter = parse_parameter(bare);
    EXPECT_TRUE(parameter.bare) << bare;
    EXPECT_EQ(parameter.value, bare);
  }
  const Parameter parameter = parse_parameter("A9.b_c-d=x=y");
  EXPECT_FALSE(parameter.bare);
  EXPECT_EQ(parameter.key, "A9.b_c-d");
  EXPECT_EQ(parameter.value, "x=y");
  EXPECT_EQ(parse_parameter("a=").value, "");
}

TEST_F(Lifecycle, GivesParametersInOrder) {
  add(Callback::config);
  auto server = adopt();
  ASSERT_TRUE(server->config(std::vector<std::string>{"first thing", "a=1", "b=2", "a=3"}));
  EXPECT_EQ(take_log(),
            (Words{"config script=first thing", "config a=1", "config b=2", "config a=3"}));
  const auto late = server->config(std::vector<std::string>{"second"});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().where, Callback::none);
}

TEST_F(Lifecycle, MagicKeyTakesBareParametersAnywhere) {
  add(Callback::config);
  table.magic_config_key = "file";
  auto server = adopt();
  ASSERT_TRUE(server->config(std::vector<std::string>{"a=1", "disk", "9a=1"}));
  EXPECT_EQ(take_log(), (Words{"config a=1", "config file=disk", "config file=9a=1"}));
}

TEST_F(Lifecycle, ParametersNeedConfig) {
  EXPECT_TRUE(adopt()->config({}));
  EXPECT_FALSE(adopt()->config(std::vector<std::string>{"a=1"}));
}

TEST_F(Lifecycle, SeesChangedParameters) {
  table.config = [](const char*, const char* value) {
    const_cast<char*>(value)[0] = 'X';
    return 0;
  };
  auto server = adopt();
  ASSERT_TRUE(server->config(std::vector<std::string>{"a=1"}));
  EXPECT_EQ(recorder.incidents(), Incidents{IncidentKind::config_modified});
  server.reset();
  EXPECT_EQ(recorder.incidents().size(), 1U);
}

TEST_F(Lifecycle, DebugFlagsAreChecked) {
  EXPECT_FALSE(Server::adopt(plugin_init, {.debug_flags = {"scripted.x=y"}}, recorder));
  EXPECT_FALSE(Server::adopt(plugin_init, {.debug_flags = {"scripted=1"}}, recorder));
  EXPECT_TRUE(Server::adopt(plugin_init, {.debug_flags = {"nbdkit.tls.log=1"}}, recorder));
  EXPECT_EQ(recorder.errors().size(), 0U);
  EXPECT_TRUE(Server::adopt(plugin_init, {.debug_flags = {"other.x=1", "scripted.no.such=0x10"}},
                            recorder));
  EXPECT_EQ(recorder.errors().size(), 2U);  // warnings
}

TEST_F(Lifecycle, DumpsAsNbdkitDoes) {
  add_all();
  script.returns[Callback::thread_model] = 2;
  auto server = adopt();
  const auto dump = server->dump_plugin(std::vector<std::string>{"a=1"});
  ASSERT_TRUE(dump);
  EXPECT_NE(dump->find("name=scripted\napi_version=2\n"), std::string::npos) << *dump;
  EXPECT_NE(dump->find("max_thread_model=parallel\nthread_model=serialize_requests\n"),
            std::string::npos);
  EXPECT_NE(dump->find("\nhas_pread=1\nhas_pwrite=1\n"), std::string::npos);
  EXPECT_EQ(dump->substr(dump->size() - 12), "colour=blue\n");
  EXPECT_EQ(take_log(), (Words{"load", "config a=1", "thread_model", "dump_plugin"}));
}

}  // namespace
}  // namespace nbdcheck::test
