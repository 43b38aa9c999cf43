#include "nbdcheck/plugin.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "nbdcheck/status_page.hpp"
#include "plugin/api_versions.hpp"

namespace nbdcheck {
namespace {

using Kind = LoadFailure::Kind;

class NoObserver final : public Observer {};

std::string fixture(const std::string& name) { return FIXTURES "/fixture-" + name + ".so"; }

LoadFailure failure_of(const std::string& name) {
  NoObserver observer;
  const auto plugin = Plugin::load(fixture(name), observer);
  EXPECT_FALSE(plugin.has_value()) << name;
  return plugin ? LoadFailure{} : plugin.error();
}

TEST(Load, GoodPlugin) {
  NoObserver observer;
  auto plugin = Plugin::load(fixture("good"), observer);
  ASSERT_TRUE(plugin.has_value()) << plugin.error().message;
  EXPECT_EQ(plugin->facts().name, "fixture");
  EXPECT_EQ(plugin->facts().version, "1.2");
  EXPECT_EQ(plugin->facts().longname, "");
  EXPECT_EQ(plugin->facts().api_version, 2);
  EXPECT_EQ(plugin->facts().static_thread_model, 2);
  EXPECT_EQ(plugin->facts().has, (std::vector<std::string>{"open", "get_size", "pread"}));
  EXPECT_EQ(plugin->callbacks().get_size(nullptr), 512);
  const auto* level = static_cast<const int*>(plugin->symbol("fixture_debug_level"));
  ASSERT_NE(level, nullptr);
  EXPECT_EQ(*level, 7);
  EXPECT_EQ(plugin->symbol("no_such_symbol"), nullptr);
  EXPECT_EQ(my_slot().callback.load(), static_cast<std::uint8_t>(Callback::none));
  plugin->close();
  plugin->close();
  EXPECT_EQ(plugin->symbol("plugin_init"), nullptr);
}

TEST(Load, OlderHostSeesLess) {
  NoObserver observer;
  const auto plugin = Plugin::load(fixture("good"), observer, 216);
  ASSERT_FALSE(plugin.has_value()) << ".pread lies past the first 216 bytes";
  EXPECT_EQ(plugin.error().kind, Kind::missing_callback);
  EXPECT_TRUE(Plugin::load(fixture("good"), observer, 224).has_value());
}

TEST(Load, NamesEveryUnresolvedFunction) {
  const LoadFailure failure = failure_of("unresolved");
  EXPECT_EQ(failure.kind, Kind::unresolved_symbols);
  auto symbols = failure.symbols;
  std::sort(symbols.begin(), symbols.end());
  EXPECT_EQ(symbols, (std::vector<std::string>{"nbdkit_no_such_function", "nbdkit_nor_this_one"}));
  EXPECT_NE(failure.message.find("nbdkit_nor_this_one"), std::string::npos);
  EXPECT_FALSE(failure.is_users_mistake());
}

TEST(Load, PluginForANewerNbdkit) {
  NoObserver observer;
  EXPECT_TRUE(Plugin::load(fixture("newer"), observer).has_value());
  EXPECT_EQ(nbdkit_version_with("nbdkit_disconnect"), "1.34");
  EXPECT_EQ(nbdkit_version_with("nbdkit_error"), "1.0");
  EXPECT_EQ(nbdkit_version_with("nbdkit_no_such_function"), "");
}

TEST(Load, FaultsInNbdkitsOrder) {
  EXPECT_EQ(failure_of("filter").kind, Kind::is_filter);
  EXPECT_EQ(failure_of("no-init").kind, Kind::no_plugin_init);
  EXPECT_EQ(failure_of("null").kind, Kind::init_returned_null);
  EXPECT_EQ(failure_of("api-3").kind, Kind::bad_api_version);
  EXPECT_EQ(failure_of("api-negative").kind, Kind::bad_api_version);
  EXPECT_EQ(failure_of("no-open").symbols, std::vector<std::string>{"open"});
  EXPECT_EQ(failure_of("no-get-size").symbols, std::vector<std::string>{"get_size"});
  EXPECT_EQ(failure_of("no-pread").symbols, std::vector<std::string>{"pread"});
  EXPECT_EQ(failure_of("small").symbols, std::vector<std::string>{"open"});
  EXPECT_EQ(failure_of("size-100").symbols, std::vector<std::string>{"get_size"});
  for (const char* name : {"name-null", "name-empty", "name-underscore", "name-dash"}) {
    EXPECT_EQ(failure_of(name).kind, Kind::bad_name) << name;
  }
}

TEST(Load, OddButAccepted) {
  NoObserver observer;
  for (const char* name : {"api-0", "large", "name-digit"}) {
    const auto plugin = Plugin::load(fixture(name), observer);
    EXPECT_TRUE(plugin.has_value()) << name << ": " << plugin.error().message;
  }
}

TEST(Load, MissingFileAndDirectory) {
  NoObserver observer;
  EXPECT_EQ(Plugin::load("/no/such/file.so", observer).error().kind, Kind::not_found);
  EXPECT_EQ(Plugin::load("/tmp", observer).error().kind, Kind::not_readable);
}

PluginStruct linked{};

TEST(Adopt, CopiesTheStruct) {
  linked = {};
  linked._struct_size = sizeof linked;
  linked._api_version = 2;
  linked.name = "linked";
  linked.open = [](int) -> void* { return &linked; };
  linked.get_size = [](void*) -> std::int64_t { return 1; };
  linked.pread = [](void*, void*, std::uint32_t, std::uint64_t, std::uint32_t) { return 0; };
  NoObserver observer;
  const auto plugin = Plugin::adopt([]() -> void* { return &linked; }, observer);
  ASSERT_TRUE(plugin.has_value());
  EXPECT_EQ(plugin->facts().path, "");
  EXPECT_EQ(plugin->plugin_struct(), &linked);
  linked.get_size = nullptr;
  EXPECT_NE(plugin->callbacks().get_size, nullptr) << "a copy";
  EXPECT_NE(plugin->symbol("nbdkit_error"), nullptr) << "symbols of the program";
}

}  // namespace
}  // namespace nbdcheck
