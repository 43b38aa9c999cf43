/// @file
/// A plugin under test, for tests of your own: load it, call it, and have every
/// answer held against the reference disk.
///
///     nbdcheck::PluginUnderTest plugin("./myplugin.so", {"size=1M"});
///     auto client = plugin.connect();
///     EXPECT_THAT(client.write(4096, std::string(512, 'x')), nbdcheck::Succeeds());
///     EXPECT_THAT(client.read(4096, 512), nbdcheck::Returns(std::string(512, 'x')));
///     EXPECT_THAT(plugin.run(nbdcheck::random_operations(plugin.subject(), 1000, 1)),
///                 nbdcheck::KeepsTheContract());
///
/// The matchers are in nbdcheck/matchers.hpp; generators for RapidCheck in
/// nbdcheck/rapidcheck.hpp. What nbdcheck::Server offers beyond this is there too:
/// PluginUnderTest::server().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "execute/sequence.hpp"
#include "nbdcheck/server.hpp"
#include "nbdcheck/target.hpp"
#include "plan/generate.hpp"
#include "plan/plan.hpp"
#include "plan/shrink.hpp"
#include "subject.hpp"

namespace nbdcheck {

/// The plugin could not be loaded, configured, started or opened. GoogleTest
/// turns it into a failure with this text, which names the callback and quotes
/// what the plugin said with nbdkit_error.
class PluginError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What came of one call, and which call it was.
struct Outcome {
  std::string call;                   ///< "#0 write(offset=4096, count=512, FUA)"
  std::string plugin;                 ///< "./myplugin.so size=1M"
  int error = 0;                      ///< 0, or an errno value as the plugin gave it
  std::vector<std::byte> data;        ///< of a read that succeeded
  std::vector<Extent> extents;        ///< of an extents request that succeeded
  std::vector<std::string> messages;  ///< what the plugin said with nbdkit_error meanwhile
  std::vector<std::string> before;    ///< the calls before this one, the last few

  [[nodiscard]] bool ok() const { return error == 0; }
};

/// For people: the call, what came of it, what the plugin said, what was called before.
std::string describe(const Outcome& outcome);
void PrintTo(const Outcome& outcome, std::ostream* out);

/// What came of a run of operations under the judge.
struct RunOutcome {
  std::string plugin;
  std::vector<Operation> operations;   ///< shrunk, when something was wrong
  std::optional<Violation> violation;  ///< none: every answer was as it must be
  std::size_t original_operations = 0;

  [[nodiscard]] bool ok() const { return !violation; }
  /// The text of a *.plan file, for `nbdcheck replay`.
  [[nodiscard]] std::string plan() const;

  std::vector<std::string> arguments;
};
std::string describe(const RunOutcome& outcome);
void PrintTo(const RunOutcome& outcome, std::ostream* out);

/// What PluginUnderTest::run judges besides the answers.
struct Scrutiny {
  /// What the server in this process notices: values other than 0 and -1, a map that is
  /// not contiguous, errors without an errno or a message.
  bool incidents = false;
  /// Errors that depend on the shape of a request, maps that depend on the question,
  /// buffers that come back changed.
  bool second_look = false;
  BufferMode buffers = BufferMode::direct;
  /// Rules that may be broken.
  std::vector<std::string> ignored = {};
};

class Client;

/// One plugin, configured and serving; stopped and unloaded by the destructor.
/// One at a time in a process.
class PluginUnderTest {
 public:
  /// A plugin file, or a name as nbdkit would find it.
  explicit PluginUnderTest(const std::string& plugin, std::vector<std::string> arguments = {},
                           ServerOptions options = {});
  /// The plugin_init of a plugin linked into the test program.
  explicit PluginUnderTest(Plugin::InitFunction plugin_init,
                           std::vector<std::string> arguments = {}, ServerOptions options = {});
  /// The `struct nbdkit_plugin` of one. NBDKIT_REGISTER_PLUGIN would fill in its
  /// size, version and thread model; here it is done for you.
  template <typename PluginStructure>
  requires requires(PluginStructure& p) { p._struct_size = 0; }
  PluginUnderTest(PluginStructure& plugin, int thread_model,
                  std::vector<std::string> arguments = {}, ServerOptions options = {})
      : PluginUnderTest(registered(plugin, thread_model), std::move(arguments),
                        std::move(options)) {}
  ~PluginUnderTest();
  PluginUnderTest(const PluginUnderTest&) = delete;
  PluginUnderTest& operator=(const PluginUnderTest&) = delete;

  /// Connects and opens an export; "": the default one.
  Client connect(std::string_view export_name = "");

  /// What is known of the plugin and its default export; opens it once to find out.
  const Subject& subject();

  /// Runs the operations one after another, each judged as it ends; connections
  /// are opened as they are needed. What fails is shrunk: the same disk serves the
  /// smaller sequences, zeroed where this one writes and reads; a plugin that remembers
  /// more than that is best given a fresh one.
  RunOutcome run(std::span<const Operation> operations);
  /// How closely run() looks from now on.
  void scrutinise(Scrutiny scrutiny);
  /// For runs of your own: what counts, by the scrutiny, of this violation and of what
  /// the server has noticed since forget_incidents(). The server's word goes first.
  [[nodiscard]] std::optional<Violation> noticed(std::optional<Violation> violation);
  void forget_incidents();

  Server& server() { return *server_; }
  [[nodiscard]] const std::string& described() const { return described_; }

 private:
  friend class Client;
  class Listener;
  void start(std::vector<std::string> arguments);
  struct Judged {
    std::optional<Violation> violation;
    std::size_t operations = 0;  // up to the one that showed it
  };
  void scrub(std::span<const Operation> operations);
  // `patience`: that of SequenceOptions.
  [[nodiscard]] Judged judge(std::span<const Operation> operations, int patience);
  template <typename PluginStructure>
  static Plugin::InitFunction registered(PluginStructure& plugin, int thread_model) {
    plugin._struct_size = sizeof plugin;
    plugin._api_version = 2;
    plugin._thread_model = thread_model;
    static PluginStructure* given;
    given = &plugin;
    return []() -> void* { return given; };
  }

  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Server> server_;
  std::string described_;
  std::vector<std::string> arguments_;
  std::optional<Subject> subject_;
  Scrutiny scrutiny_;
};

/// One connection. Closed by the destructor, which must run before the plugin's.
class Client {
 public:
  Outcome read(std::uint64_t offset, std::uint32_t count);
  Outcome write(std::uint64_t offset, std::span<const std::byte> data, std::uint32_t flags = 0);
  Outcome write(std::uint64_t offset, std::string_view data, std::uint32_t flags = 0);
  Outcome flush();
  Outcome trim(std::uint64_t offset, std::uint32_t count, std::uint32_t flags = 0);
  Outcome zero(std::uint64_t offset, std::uint32_t count, std::uint32_t flags = 0);
  Outcome cache(std::uint64_t offset, std::uint32_t count);
  Outcome extents(std::uint64_t offset, std::uint32_t count, std::uint32_t flags = 0);

  [[nodiscard]] const ExportInfo& info() const { return connection_->export_info(); }
  Connection& connection() { return *connection_; }

 private:
  friend class PluginUnderTest;
  Client(PluginUnderTest& plugin, std::unique_ptr<Connection> connection);
  Outcome call(OpKind kind, std::uint64_t offset, std::uint64_t count, std::uint32_t flags,
               const std::function<Reply(Outcome&)>& make);

  PluginUnderTest* plugin_;
  std::unique_ptr<Connection> connection_;
  std::vector<std::string> calls_;
};

/// A sequence that aims at where bugs live (plan/generate.hpp), within what the
/// export offers; the same for the same seed.
std::vector<Operation> random_operations(const Subject& subject, std::size_t count,
                                         std::uint64_t seed);
/// One such operation.
Operation random_operation(const Subject& subject, std::uint64_t seed);

}  // namespace nbdcheck
